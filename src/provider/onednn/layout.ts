// The layout inside a oneDNN 2 memory descriptor, as text: what tells two packed weights apart in records and caches.
// Offsets are those of dnnl_memory_desc_t in the public headers of 2.6.
import koffi from "koffi";
import { DATA_TYPE, MEMORY_DESC_BYTES } from "./constants.js";

const AT = { dims: 8, dataType: 104, paddedDims: 112, offset0: 304, kind: 312, strides: 320, blocks: 416, sizes: 424, axes: 520, flags: 616 } as const; // prettier-ignore
const BLOCKED = 2;

/** Data type, padded dims, strides of the outer dims, inner blocks: "bf16[256, 1024] 16384.64 16b64a2b". */
export function showLayout(descriptor: bigint): string {
  const view = new DataView(koffi.view(descriptor, MEMORY_DESC_BYTES));
  const int = (at: number): number => view.getInt32(at, true);
  const long = (at: number, index: number): number => Number(view.getBigInt64(at + 8 * index, true));
  const rank = int(0);
  const each = <T>(count: number, of: (index: number) => T): T[] => Array.from({ length: count }, (_, i) => of(i));
  const dtype = Object.entries(DATA_TYPE).find(([, number]) => number === int(AT.dataType))?.[0] ?? "?";
  const dims = each(rank, (i) => long(AT.paddedDims, i)).join(", ");
  const strides = each(rank, (i) => long(AT.strides, i)).join(".");
  const blocks = each(int(AT.blocks), (i) => `${long(AT.sizes, i)}${"abcdefghijkl"[long(AT.axes, i)]}`).join("");
  const kind = int(AT.kind) === BLOCKED ? "" : ` kind${int(AT.kind)}`;
  const flags = long(AT.flags, 0);
  return `${dtype}[${dims}] ${strides}${blocks && ` ${blocks}`}${kind}${flags ? ` flags${flags}` : ""}`;
}
