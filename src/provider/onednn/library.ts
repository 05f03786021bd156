// oneDNN's shared library: found, checked for its version, and given types. Only version 2 is spoken here: version 3
// replaced the operation descriptors by functions and has no structs to fill.
// Sizes and numbers are those of the public headers of oneDNN 2.6; every descriptor is filled by the library itself.
import koffi from "koffi";
import { type Found, isCannot } from "../../device/native/found.js";
import {
  type Functions,
  type Library,
  type LibraryQuery,
  bindFunctions,
  openLibrary,
} from "../../device/native/library.js";

const SIGNATURES = {
  dnnl_engine_create: ["i32", "pointer", "i32", "usize"],
  dnnl_engine_destroy: ["i32", "pointer"],
  dnnl_stream_create: ["i32", "pointer", "pointer", "u32"],
  dnnl_stream_destroy: ["i32", "pointer"],
  dnnl_memory_desc_init_by_strides: ["i32", "pointer", "i32", "pointer", "i32", "pointer"],
  dnnl_memory_desc_init_by_tag: ["i32", "pointer", "i32", "pointer", "i32", "i32"],
  dnnl_memory_desc_get_size: ["usize", "pointer"],
  dnnl_memory_desc_equal: ["i32", "pointer", "pointer"],
  dnnl_memory_create: ["i32", "pointer", "pointer", "pointer", "pointer"],
  dnnl_memory_destroy: ["i32", "pointer"],
  dnnl_primitive_attr_create: ["i32", "pointer"],
  dnnl_primitive_attr_destroy: ["i32", "pointer"],
  dnnl_primitive_attr_set_scratchpad_mode: ["i32", "pointer", "i32"],
  dnnl_primitive_attr_set_post_ops: ["i32", "pointer", "pointer"],
  dnnl_primitive_attr_set_output_scales: ["i32", "pointer", "i64", "i32", "pointer"],
  dnnl_post_ops_create: ["i32", "pointer"],
  dnnl_post_ops_destroy: ["i32", "pointer"],
  dnnl_post_ops_append_sum: ["i32", "pointer", "f32"],
  dnnl_post_ops_append_eltwise: ["i32", "pointer", "f32", "i32", "f32", "f32"],
  dnnl_post_ops_append_binary: ["i32", "pointer", "i32", "pointer"],
  dnnl_matmul_desc_init: ["i32", "pointer", "pointer", "pointer", "pointer", "pointer"],
  dnnl_convolution_forward_desc_init: [
    "i32", "pointer", "i32", "i32", "pointer", "pointer", "pointer", "pointer", "pointer", "pointer", "pointer",
  ], // prettier-ignore
  dnnl_softmax_v2_forward_desc_init: ["i32", "pointer", "i32", "i32", "pointer", "pointer", "i32"],
  dnnl_layer_normalization_forward_desc_init: ["i32", "pointer", "i32", "pointer", "pointer", "f32", "u32"],
  dnnl_eltwise_forward_desc_init: ["i32", "pointer", "i32", "i32", "pointer", "f32", "f32"],
  dnnl_binary_desc_init: ["i32", "pointer", "i32", "pointer", "pointer", "pointer"],
  dnnl_resampling_forward_desc_init: ["i32", "pointer", "i32", "i32", "pointer", "pointer", "pointer"],
  dnnl_primitive_desc_create: ["i32", "pointer", "pointer", "pointer", "pointer", "pointer"],
  dnnl_reorder_primitive_desc_create: ["i32", "pointer", "pointer", "pointer", "pointer", "pointer", "pointer"],
  dnnl_primitive_desc_destroy: ["i32", "pointer"],
  dnnl_primitive_desc_query: ["i32", "pointer", "i32", "i32", "pointer"],
  dnnl_primitive_desc_query_md: ["pointer", "pointer", "i32", "i32"],
  dnnl_primitive_create: ["i32", "pointer", "pointer"],
  dnnl_primitive_destroy: ["i32", "pointer"],
  dnnl_get_effective_cpu_isa: ["i32"],
} as const;

export interface OneDnnLibrary {
  readonly library: Library;
  /** "2.6.3". */
  readonly version: string;
  readonly call: Functions<typeof SIGNATURES>;
  /** dnnl_primitive_execute: the function of every step; words: primitive, stream, count, arguments. Must return 0. */
  readonly execute: bigint;
}

export const ONEDNN: LibraryQuery = {
  name: "oneDNN",
  files: ["libdnnl.so.2", "libdnnl.so"],
  requires: ["dnnl_version", "dnnl_primitive_execute"],
  advice: "Debian and Ubuntu have it as the package libdnnl2.",
};

/** Finds oneDNN 2; any other major version is a "cannot" with the reason. */
export function openOneDnn(files: readonly string[] = ONEDNN.files): Found<OneDnnLibrary> {
  const library = openLibrary({ ...ONEDNN, files });
  if (isCannot(library)) return library;
  const versionFunction = bindFunctions(library, { dnnl_version: ["pointer"] });
  if (isCannot(versionFunction)) return versionFunction;
  const told = versionFunction.dnnl_version();
  if (told === 0n) return { cannot: `oneDNN (${library.path}) tells no version` };
  const [major, minor, patch] = threeInts(told);
  const version = `${major}.${minor}.${patch}`;
  if (major !== 2 || minor < 6) {
    return {
      cannot: `oneDNN ${version} (${library.path}) has another C interface; versions 2.6 to 2.7 are understood`,
    };
  }
  const call = bindFunctions(library, SIGNATURES);
  return isCannot(call) ? call : { library, version, call, execute: library.address("dnnl_primitive_execute")! };
}

function threeInts(address: bigint): readonly [number, number, number] {
  const [a, b, c] = koffi.decode(address, "int", 3) as Int32Array;
  return [a ?? 0, b ?? 0, c ?? 0];
}
