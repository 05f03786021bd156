// Element types: names, sizes, and the roundings every interpreter and packer shares.

export const DTYPES = ["f64", "f32", "f16", "bf16", "f8e4m3", "i64", "i32", "i16", "i8", "u8", "bool"] as const;
export type DType = (typeof DTYPES)[number];

const BYTES: Readonly<Record<DType, number>> = {
  f64: 8, f32: 4, f16: 2, bf16: 2, f8e4m3: 1, i64: 8, i32: 4, i16: 2, i8: 1, u8: 1, bool: 1,
}; // prettier-ignore

/** Bytes of one element. */
export const dtypeBytes = (dtype: DType): number => BYTES[dtype];

export const isFloat = (dtype: DType): boolean => dtype[0] === "f" || dtype === "bf16";

/** Relative error of one rounding to nearest: half a unit in the last place, 0 for integers. */
export const unitRoundoff = (dtype: DType): number =>
  ({ f64: 2 ** -53, f32: 2 ** -24, f16: 2 ** -11, bf16: 2 ** -8, f8e4m3: 2 ** -4 })[dtype as "f64"] ?? 0;

const f32 = new Float32Array(1);
const u32 = new Uint32Array(f32.buffer);

/** The bits of `x` as bfloat16, rounded to nearest even; NaN stays NaN. */
export function toBf16Bits(x: number): number {
  f32[0] = x;
  const bits = u32[0]!;
  if ((bits & 0x7fffffff) > 0x7f800000) return (bits >>> 16) | 0x40;
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}

export function fromBf16Bits(bits: number): number {
  u32[0] = bits << 16;
  return f32[0]!;
}

/** The bits of `x` as IEEE half precision, rounded to nearest even. */
export function toF16Bits(x: number): number {
  f32[0] = x;
  const bits = u32[0]!;
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = Math.abs(f32[0]!);
  if (Number.isNaN(magnitude)) return sign | 0x7e00;
  if (magnitude >= 65520) return sign | 0x7c00;
  if (magnitude < 2 ** -14) return sign | roundHalfEven(magnitude * 2 ** 24);
  const exponent = ((bits >>> 23) & 0xff) - 127;
  return sign | ((exponent + 14) * 1024 + roundHalfEven(magnitude * 2 ** (10 - exponent)));
}

export function fromF16Bits(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >>> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** The byte of `x` as OCP e4m3: no infinities, saturating at ±448, NaN is 0x7f. */
export function toF8Bits(x: number): number {
  if (Number.isNaN(x)) return 0x7f;
  const sign = x < 0 || Object.is(x, -0) ? 0x80 : 0;
  const magnitude = Math.min(Math.abs(x), 448);
  if (magnitude < 2 ** -6) return sign | roundHalfEven(magnitude * 512);
  const exponent = Math.floor(Math.log2(magnitude));
  return sign | Math.min(0x7e, (exponent + 6) * 8 + roundHalfEven((magnitude * 8) / 2 ** exponent));
}

export function fromF8Bits(bits: number): number {
  const sign = bits & 0x80 ? -1 : 1;
  const exponent = (bits >>> 3) & 15;
  const fraction = bits & 7;
  if (exponent === 15 && fraction === 7) return Number.NaN;
  return exponent === 0 ? (sign * fraction) / 512 : sign * (1 + fraction / 8) * 2 ** (exponent - 7);
}

function roundHalfEven(x: number): number {
  const low = Math.floor(x);
  const rest = x - low;
  return rest > 0.5 || (rest === 0.5 && low % 2 === 1) ? low + 1 : low;
}

/** `x` after a store to `dtype` and a load back. */
export function roundTo(dtype: DType, x: number): number {
  switch (dtype) {
    case "f64":
      return x;
    case "f32":
      return Math.fround(x);
    case "bf16":
      return fromBf16Bits(toBf16Bits(x));
    case "f16":
      return fromF16Bits(toF16Bits(x));
    case "f8e4m3":
      return fromF8Bits(toF8Bits(x));
    case "bool":
      return x ? 1 : 0;
    case "i16":
      return Math.max(-32768, Math.min(32767, Math.trunc(x)));
    case "i8":
      return Math.max(-128, Math.min(127, Math.trunc(x)));
    case "u8":
      return Math.max(0, Math.min(255, Math.trunc(x)));
    case "i32":
    case "i64":
      return Math.trunc(x);
    default:
      return dtype satisfies never;
  }
}

/** Reads element `index` of raw little-endian bytes as a number. */
export function readElement(view: DataView, dtype: DType, index: number): number {
  switch (dtype) {
    case "f64":
      return view.getFloat64(index * 8, true);
    case "f32":
      return view.getFloat32(index * 4, true);
    case "bf16":
      return fromBf16Bits(view.getUint16(index * 2, true));
    case "f16":
      return fromF16Bits(view.getUint16(index * 2, true));
    case "f8e4m3":
      return fromF8Bits(view.getUint8(index));
    case "i64":
      return Number(view.getBigInt64(index * 8, true));
    case "i32":
      return view.getInt32(index * 4, true);
    case "i16":
      return view.getInt16(index * 2, true);
    case "i8":
      return view.getInt8(index);
    case "u8":
    case "bool":
      return view.getUint8(index);
    default:
      return dtype satisfies never;
  }
}

/** Writes `x`, rounded to `dtype`, as element `index` of raw little-endian bytes. */
export function writeElement(view: DataView, dtype: DType, index: number, x: number): void {
  switch (dtype) {
    case "f64":
      return view.setFloat64(index * 8, x, true);
    case "f32":
      return view.setFloat32(index * 4, x, true);
    case "bf16":
      return view.setUint16(index * 2, toBf16Bits(x), true);
    case "f16":
      return view.setUint16(index * 2, toF16Bits(x), true);
    case "f8e4m3":
      return view.setUint8(index, toF8Bits(x));
    case "i64":
      return view.setBigInt64(index * 8, BigInt(Math.trunc(x)), true);
    case "i32":
      return view.setInt32(index * 4, x, true);
    case "i16":
      return view.setInt16(index * 2, roundTo("i16", x), true);
    case "i8":
      return view.setInt8(index, roundTo("i8", x));
    case "u8":
      return view.setUint8(index, roundTo("u8", x));
    case "bool":
      return view.setUint8(index, x ? 1 : 0);
    default:
      return dtype satisfies never;
  }
}
