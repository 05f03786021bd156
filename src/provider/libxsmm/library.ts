// libxsmm comes as a static library: found through the C compiler, linked with the shim into a library of our own, which
// the cache keeps, and given types.
import { statSync } from "node:fs";
import { compileC, findCompiler, staticLibrary } from "../../device/cpu/compile.js";
import { type Found, isCannot } from "../../device/native/found.js";
import { bindFunctions, openLibrary, stringAt, type LibraryQuery } from "../../device/native/library.js";
import { messageOf } from "../../core/error.js";
import { shimSource } from "./shim.js";

export interface Libxsmm {
  /** "1.17 for cpx": its version and the instruction set it generates code for. */
  readonly version: string;
  /** Whether its bf16 kernels are instructions. */
  readonly bf16: boolean;
  /** The function of every step; words: product, a, b, c, bias, residual, workspace. */
  readonly run: bigint;
  /** Generates the kernels of the product at this address; false where libxsmm has none. */
  prepare(product: bigint): boolean;
  /** Packs the right side of a product. */
  pack(product: bigint, from: bigint, to: bigint): void;
}

const ADVICE = "Debian and Ubuntu have it as the package libxsmm-dev; LIBRARY_PATH and CPATH name other folders.";
const LINK = ["-lxsmm", "-lxsmmnoblas", "-ldl", "-lm", "-lpthread", "-Wl,--exclude-libs,ALL", "-Wl,--gc-sections"];

/** Names of instruction sets from libxsmm_cpuid.h: AVX2 and more can multiply; with CPX bf16 products are instructions. */
const AVX2 = 1006;
const CPX = 1022;

/** The linked library, as a query that `openLibrary` answers. Compiles it where the cache does not have it. */
export async function linkLibxsmm(): Promise<Found<LibraryQuery>> {
  const compiler = await findCompiler();
  if (isCannot(compiler)) return { cannot: `libxsmm is linked by a C compiler: ${compiler.cannot}` };
  const file = await staticLibrary(compiler, "libxsmm.a");
  if (!file) return { cannot: `libxsmm cannot be linked: ${compiler.command} finds no libxsmm.a. ${ADVICE}` };
  const { size, mtimeMs } = statSync(file);
  try {
    const path = await compileC({ ...compiler, link: LINK }, shimSource(`${file} ${size} ${mtimeMs}`));
    return { name: "libxsmm", files: [path], requires: ["troupe_xsmm_run"], advice: ADVICE };
  } catch (error) {
    const line =
      messageOf(error)
        .split("\n")
        .find((text) => /error|undefined|No space/.test(text)) ?? messageOf(error);
    return {
      cannot: `libxsmm (${file}) cannot be linked: ${line.replace(/^generated C does not compile: /, "").trim()}. ${ADVICE}`,
    };
  }
}

export function openLibxsmm(query: LibraryQuery): Found<Libxsmm> {
  const library = openLibrary(query);
  if (isCannot(library)) return library;
  const call = bindFunctions(library, {
    troupe_xsmm_version: ["pointer"],
    troupe_xsmm_target: ["pointer"],
    troupe_xsmm_target_id: ["i32"],
    troupe_xsmm_prepare: ["i32", "pointer"],
    troupe_xsmm_pack: ["void", "pointer", "pointer", "pointer"],
  });
  if (isCannot(call)) return call;
  const version = `${stringAt(call.troupe_xsmm_version())} for ${stringAt(call.troupe_xsmm_target())}`;
  const isa = call.troupe_xsmm_target_id();
  if (isa < AVX2) return { cannot: `libxsmm ${version} generates no code for this CPU; it needs AVX2` };
  return {
    version,
    bf16: isa >= CPX,
    run: library.address("troupe_xsmm_run")!,
    prepare: (product) => call.troupe_xsmm_prepare(product) === 0,
    pack: (product, from, to) => call.troupe_xsmm_pack(product, from, to),
  };
}
