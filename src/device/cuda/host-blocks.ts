// Page-locked host memory that the GPU reads and writes at the host's addresses: slow for it, but one memory for both
// sides, which is what checking values wants.
import type { BlockSource } from "../native/memory.js";
import type { CudaDevice } from "./device.js";

const PORTABLE = 1;
const MAPPED = 2;

/** Blocks for NativeMemory. Freed ones are kept for the next of their size: locking pages takes long. */
export function hostBlocks(device: CudaDevice): BlockSource {
  const sizes = new Map<bigint, number>();
  const spare = new Map<number, bigint[]>();
  return {
    allocate(bytes) {
      const size = 2 ** Math.ceil(Math.log2(Math.max(4096, bytes)));
      const known = spare.get(size)?.pop();
      if (known !== undefined) return known;
      const address = device.driver.make("cuMemHostAlloc", size, PORTABLE | MAPPED);
      sizes.set(address, size);
      return address;
    },
    free(address) {
      const size = sizes.get(address)!;
      const list = spare.get(size);
      if (list) list.push(address);
      else spare.set(size, [address]);
    },
  };
}
