// Tensor maps: what the TMA unit needs to know of a tensor. Rules of the driver are checked here, since it answers
// every violation with the same bare code.
import koffi from "koffi";
import type { DType } from "../../core/dtype.js";
import { dtypeBytes } from "../../core/dtype.js";
import { TroupeError } from "../../core/error.js";
import type { DeviceAddress, Driver } from "./driver.js";

export const TENSOR_MAP_BYTES = 128;
const DTYPE: Readonly<Partial<Record<DType, number>>> = { bf16: 9, f16: 6, f32: 7, f8e4m3: 0, i8: 0, u8: 0, i32: 3 };
const SWIZZLE = { 64: 2, 128: 3 } as const;
const PROMOTE_256 = 3;

export interface TensorMapSpec {
  readonly address: DeviceAddress;
  readonly dtype: DType;
  /** Fastest first; the fastest dim has stride 1. */
  readonly dims: readonly number[];
  /** Strides of the dims after the first, in bytes. */
  readonly strideBytes: readonly number[];
  /** Extent of one transfer along each dim. */
  readonly box: readonly number[];
}

/** Why the TMA unit cannot read such a tensor, or undefined. */
export function tensorMapReason({ address, dtype, dims, strideBytes, box }: TensorMapSpec): string | undefined {
  if (DTYPE[dtype] === undefined) return `a tensor map cannot hold ${dtype}`;
  if (dims.length < 1 || dims.length > 5) return `a tensor map has 1 to 5 dims, not ${dims.length}`;
  if (strideBytes.length !== dims.length - 1 || box.length !== dims.length)
    return "dims, strides and box differ in number";
  if (address % 16n !== 0n) return "the tensor does not start on 16 bytes";
  const stride = strideBytes.find((bytes) => bytes % 16 !== 0 || bytes <= 0 || bytes >= 2 ** 40);
  if (stride !== undefined) return `a stride of ${stride} bytes is no positive multiple of 16 below 2^40`;
  const dim = dims.find((size) => size < 1 || size > 2 ** 32);
  if (dim !== undefined) return `a dim of ${dim} is not within 1 and 2^32`;
  const extent = box.find((size) => size < 1 || size > 256);
  if (extent !== undefined) return `a box extent of ${extent} is not within 1 and 256`;
  const row = box[0]! * dtypeBytes(dtype);
  if (row % 16 !== 0 || row > 128) return `a box row of ${row} bytes is not 16 to 128 in steps of 16`;
  return undefined;
}

/** The 128 bytes of a map with the 128-byte swizzle, or that of 64 bytes where a box's rows are so short; reads outside the tensor give 0. */
export function encodeTensorMap(driver: Driver, spec: TensorMapSpec): Uint8Array {
  const reason = tensorMapReason(spec);
  if (reason !== undefined)
    throw new TroupeError("shape", `no tensor map: ${reason}`, { details: { ...spec, address: String(spec.address) } });
  const map = aligned(TENSOR_MAP_BYTES);
  driver.call(
    "cuTensorMapEncodeTiled",
    map,
    DTYPE[spec.dtype]!,
    spec.dims.length,
    spec.address,
    BigUint64Array.from(spec.dims, BigInt),
    BigUint64Array.from(spec.strideBytes.length ? spec.strideBytes : [0], BigInt),
    Uint32Array.from(spec.box),
    Uint32Array.from(spec.dims, () => 1),
    0,
    SWIZZLE[spec.box[0]! * dtypeBytes(spec.dtype) === 64 ? 64 : 128],
    PROMOTE_256,
    0,
  );
  return map;
}

/** Bytes of host memory that start on 128: the driver writes and reads maps there only. */
function aligned(bytes: number): Uint8Array {
  const room = new Uint8Array(new ArrayBuffer(bytes + 128));
  const start = Number((128n - (BigInt(koffi.address(room)) % 128n)) % 128n);
  return room.subarray(start, start + bytes);
}
