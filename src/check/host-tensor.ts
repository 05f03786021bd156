// Tensors in host memory ↔ float64: strided windows of any dtype are read into dense row-major numbers and written back.
import koffi from "koffi";
import {
  dtypeBytes, fromF16Bits, fromF8Bits, roundTo, toBf16Bits, toF16Bits, toF8Bits, type DType,
} from "../core/dtype.js"; // prettier-ignore
import { sizeOf, type Shape, type Strides } from "../core/shape.js";
import type { Address } from "../device/device.js";
import { StridedRuns } from "./strided-runs.js";

/** A window of host memory: `address` is that of its first element, strides count elements. */
export interface HostWindow {
  readonly dtype: DType;
  readonly shape: Shape;
  readonly strides: Strides;
}

type Raw =
  Float64Array | Float32Array | Uint16Array | Uint8Array | Int8Array | Int16Array | Int32Array | BigInt64Array; // prettier-ignore

/** Elements from the first to the last of a window, gaps included. */
export const spanOf = (shape: Shape, strides: Strides): number =>
  sizeOf(shape) === 0 ? 0 : shape.reduce((span, dim, d) => span + (dim - 1) * strides[d]!, 1);

export const spanBytes = (window: HostWindow): number =>
  spanOf(window.shape, window.strides) * dtypeBytes(window.dtype);

/** The memory at an address as bytes, not copied. It must outlive the view. */
export const bytesAt = (address: Address, bytes: number): ArrayBuffer =>
  bytes === 0 ? new ArrayBuffer(0) : koffi.view(address, bytes);

/** A window bound to its memory: reads and writes go through typed arrays made once. */
export class HostTensor {
  readonly window: HostWindow;
  readonly address: Address;
  readonly #raw: Raw;
  readonly #runs: StridedRuns;

  constructor(window: HostWindow, address: Address) {
    this.window = window;
    this.address = address;
    this.#raw = rawView(window.dtype, bytesAt(address, spanBytes(window)));
    this.#runs = new StridedRuns(window.shape, window.strides);
  }

  /** The elements, row-major. */
  read(): Float64Array {
    const out = new Float64Array(sizeOf(this.window.shape));
    const decode = decoders[this.window.dtype];
    this.#runs.forEach((at, index, count, stride) => decode(this.#raw as never, at, stride, out, index, count));
    return out;
  }

  /** Stores elements given row-major, each rounded to the dtype. */
  write(data: Float64Array): void {
    const encode = encoders[this.window.dtype];
    this.#runs.forEach((at, index, count, stride) => encode(this.#raw as never, at, stride, data, index, count));
  }
}

const rawView = (dtype: DType, memory: ArrayBuffer): Raw => {
  switch (dtype) {
    case "f64":
      return new Float64Array(memory);
    case "f32":
      return new Float32Array(memory);
    case "f16":
    case "bf16":
      return new Uint16Array(memory);
    case "i64":
      return new BigInt64Array(memory);
    case "i32":
      return new Int32Array(memory);
    case "i16":
      return new Int16Array(memory);
    case "i8":
      return new Int8Array(memory);
    case "f8e4m3":
    case "u8":
    case "bool":
      return new Uint8Array(memory);
    default:
      return dtype satisfies never;
  }
};

type Codec<T> = (raw: T, at: number, stride: number, data: Float64Array, index: number, count: number) => void;
type Numbers = Float64Array | Float32Array | Int32Array | Int16Array | Int8Array | Uint8Array;

const load: Codec<Numbers> = (raw, at, stride, out, index, count) => {
  for (let i = 0; i < count; i++) out[index + i] = raw[at + i * stride]!;
};

const loadWith =
  (from: (bits: number) => number): Codec<Uint16Array | Uint8Array> =>
  (raw, at, stride, out, index, count) => {
    for (let i = 0; i < count; i++) out[index + i] = from(raw[at + i * stride]!);
  };

const word = new Uint32Array(1);
const single = new Float32Array(word.buffer);

const loadBf16: Codec<Uint16Array> = (raw, at, stride, out, index, count) => {
  for (let i = 0; i < count; i++) {
    word[0] = raw[at + i * stride]! << 16;
    out[index + i] = single[0]!;
  }
};

const loadI64: Codec<BigInt64Array> = (raw, at, stride, out, index, count) => {
  for (let i = 0; i < count; i++) out[index + i] = Number(raw[at + i * stride]!);
};

const store: Codec<Float64Array | Float32Array> = (raw, at, stride, data, index, count) => {
  for (let i = 0; i < count; i++) raw[at + i * stride] = data[index + i]!;
};

const storeWith =
  (to: (x: number) => number): Codec<Uint16Array | Uint8Array | Int8Array | Int16Array | Int32Array> =>
  (raw, at, stride, data, index, count) => {
    for (let i = 0; i < count; i++) raw[at + i * stride] = to(data[index + i]!);
  };

const storeI64: Codec<BigInt64Array> = (raw, at, stride, data, index, count) => {
  for (let i = 0; i < count; i++) raw[at + i * stride] = BigInt(Math.trunc(data[index + i]!));
};

const decoders: Readonly<Record<DType, Codec<never>>> = {
  f64: load, f32: load, f16: loadWith(fromF16Bits), bf16: loadBf16, f8e4m3: loadWith(fromF8Bits),
  i64: loadI64, i32: load, i16: load, i8: load, u8: load, bool: load,
}; // prettier-ignore

const encoders: Readonly<Record<DType, Codec<never>>> = {
  f64: store, f32: store, f16: storeWith(toF16Bits), bf16: storeWith(toBf16Bits), f8e4m3: storeWith(toF8Bits),
  i64: storeI64, i32: storeWith((x) => roundTo("i32", x)), i16: storeWith((x) => roundTo("i16", x)),
  i8: storeWith((x) => roundTo("i8", x)),
  u8: storeWith((x) => roundTo("u8", x)), bool: storeWith((x) => roundTo("bool", x)),
}; // prettier-ignore
