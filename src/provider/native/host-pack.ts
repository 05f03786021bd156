// Weights in another form, made on the host once a weight: down from the device, turned there, and up again.
import { dtypeBytes, type DType } from "../../core/dtype.js";
import type { CudaDevice } from "../../device/cuda/device.js";
import type { Address } from "../../device/device.js";
import type { Pack } from "../provider.js";

/** Bits of elements of two or four bytes. */
export type Elements = Uint16Array | Uint32Array;

/** A dense weight and the form it is kept in. */
export interface HostPack {
  readonly input: number;
  readonly recipe: string;
  /** bf16, f16 or f32, before and after. */
  readonly dtype: DType;
  /** Elements before and after. */
  readonly from: number;
  readonly to: number;
  /** Fills `young`, which is zero. */
  readonly make: (old: Elements, young: Elements) => void;
}

const elementsOf = (dtype: DType, count: number): Elements =>
  dtypeBytes(dtype) === 2 ? new Uint16Array(count) : new Uint32Array(count);

export const packed = ({ dtype, to, make }: HostPack, old: Elements): Elements => {
  const young = elementsOf(dtype, to);
  make(old, young);
  return young;
};

/** What a candidate declares. */
export const declared = ({ input, recipe, dtype, to }: HostPack): Pack => ({ input, recipe, bytes: to * dtypeBytes(dtype) }); // prettier-ignore

/** Writes the pack of the tensor at `from` to `to`, both on the device. */
export function packOnDevice({ driver }: CudaDevice, pack: HostPack, from: Address, to: Address): void {
  const old = elementsOf(pack.dtype, pack.from);
  driver.call("cuMemcpyDtoH_v2", old, from, old.byteLength);
  const young = packed(pack, old);
  driver.call("cuMemcpyHtoD_v2", to, young, young.byteLength);
  driver.call("cuStreamSynchronize", 0n);
}

type Four = readonly [number, number, number, number];

/** Filters [O, C, R, S] as [filters, R, S, C]: channels innermost, rows of zeros behind them where `filters` is more than O. */
export function filterPack(input: number, dtype: DType, [O, C, R, S]: Four, filters = O): HostPack {
  const taps = R * S;
  return {
    input,
    recipe: filters === O ? "channels innermost" : `channels innermost, ${filters} filters`,
    dtype,
    from: O * C * taps,
    to: filters * C * taps,
    make(old, young) {
      for (let o = 0, at = 0; o < O; o++)
        for (let tap = 0; tap < taps; tap++) for (let c = 0; c < C; c++) young[at++] = old[(o * C + c) * taps + tap]!;
    },
  };
}
