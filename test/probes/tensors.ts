// Tensors of tests on their way between references in float64 and sessions in their dtype.
import { dtypeBytes, readElement, roundTo, writeElement, type DType } from "../../src/core/dtype.js";
import { fillNormal } from "../../src/core/philox.js";
import { sizeOf, type Shape } from "../../src/core/shape.js";
import type { RefTensor } from "../../src/graph/op.js";
import type { Session } from "../../src/session/session.js";

export const tensor = (dtype: DType, shape: Shape, data: ArrayLike<number>): RefTensor => ({
  dtype,
  shape,
  data: Float64Array.from(data, (x) => roundTo(dtype, x)),
});

/** Normal numbers, the same for the same seed. */
export function normal(dtype: DType, shape: Shape, seed: number, deviation = 1): RefTensor {
  const data = new Float64Array(sizeOf(shape));
  fillNormal(data, seed, 0);
  return tensor(dtype, shape, data.map((x) => x * deviation)); // prettier-ignore
}

export function bytesOf({ dtype, data }: RefTensor): Uint8Array {
  const bytes = new Uint8Array(data.length * dtypeBytes(dtype));
  const view = new DataView(bytes.buffer);
  data.forEach((x, i) => writeElement(view, dtype, i, x));
  return bytes;
}

export function tensorOf(dtype: DType, shape: Shape, bytes: Uint8Array): RefTensor {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return { dtype, shape, data: Float64Array.from({ length: sizeOf(shape) }, (_, i) => readElement(view, dtype, i)) };
}

export const writeAll = (session: Session, tensors: ReadonlyMap<string, RefTensor>): void =>
  tensors.forEach((value, name) => session.write(name, bytesOf(value)));

export function readTensor(session: Session, name: string): RefTensor {
  const { dtype, shape } = session.type(name);
  return tensorOf(dtype, shape, session.read(name));
}
