// The questions that shape rules of several ops ask; each failure is the op's own misfit, naming op and shapes.
import { isFloat, type DType } from "../../core/dtype.js";
import { sameShape, showShape, type Shape } from "../../core/shape.js";
import { misfit } from "../op.js";
import type { TensorType } from "../node.js";

/** `least` to `most` inputs, none of them empty. */
export function expectCount(op: string, inputs: readonly TensorType[], least: number, most = least): void {
  const wanted = most === least ? `${least}` : most === Infinity ? `at least ${least}` : `${least} to ${most}`;
  if (inputs.length < least || inputs.length > most) misfit(op, inputs, `takes ${wanted} inputs`);
  inputs.forEach((input, i) => {
    if (!input.shape.every((dim) => Number.isInteger(dim) && dim > 0))
      misfit(op, inputs, `input ${i} has an empty dim; every dim must be at least 1`);
  });
}

/** The one float dtype of all inputs (or of those listed). */
export function expectFloat(op: string, inputs: readonly TensorType[], which = inputs.map((_, i) => i)): DType {
  const { dtype } = inputs[which[0]!]!;
  for (const i of which) {
    if (!isFloat(inputs[i]!.dtype)) misfit(op, inputs, `input ${i} must be of a float dtype`);
    if (inputs[i]!.dtype !== dtype)
      misfit(op, inputs, `input ${i} must be ${dtype} as input ${which[0]} is; cast one of them`);
  }
  return dtype;
}

export function expectDType(op: string, inputs: readonly TensorType[], index: number, dtype: DType): void {
  if (inputs[index]!.dtype !== dtype) misfit(op, inputs, `input ${index} must be ${dtype}`);
}

export function expectRank(
  op: string,
  inputs: readonly TensorType[],
  index: number,
  least: number,
  most = least,
): void {
  const { length } = inputs[index]!.shape;
  const wanted = most === least ? `${least}` : most === Infinity ? `at least ${least}` : `${least} to ${most}`;
  if (length < least || length > most) misfit(op, inputs, `input ${index} must have ${wanted} dims`);
}

/** Input `index`, called `name`, has exactly this shape. */
export function expectShape(
  op: string,
  inputs: readonly TensorType[],
  index: number,
  shape: Shape,
  name: string,
): void {
  if (!sameShape(inputs[index]!.shape, shape)) misfit(op, inputs, `${name} must be ${showShape(shape)}`);
}

export function expect(condition: boolean, op: string, inputs: readonly TensorType[], why: string): asserts condition {
  if (!condition) misfit(op, inputs, why);
}
