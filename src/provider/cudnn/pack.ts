// What cuDNN's convolutions want of a bias beside filters with their channels innermost.
import type { DType } from "../../core/dtype.js";
import type { HostPack } from "../native/host-pack.js";

/** A bias with zeros behind it, where the number of filters is no multiple of 8. */
export const biasPack = (input: number, dtype: DType, O: number, filters: number): HostPack => ({
  input,
  recipe: `${filters} numbers`,
  dtype,
  from: O,
  to: filters,
  make: (old, young) => young.set(old),
});
