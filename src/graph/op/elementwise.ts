// Pointwise ops: each is its scalar expression; broadcasting follows NumPy, the dtype stays that of the inputs.
import { isFloat, type DType } from "../../core/dtype.js";
import { arg, binary, unary, type BinaryFn, type Expr, type UnaryFn } from "../../core/scalar.js";
import { broadcast, sizeOf } from "../../core/shape.js";
import { elementAt, misfit, type Op } from "../op.js";
import type { Params, TensorType } from "../node.js";
import { broadcastStrides, forEachOffset } from "./dense.js";
import { compile, isExact, operations } from "./expression.js";
import { expect, expectCount, expectFloat } from "./fit.js";
import { arithmeticRoundoff, forFloat, stored } from "./tolerance.js";

/** What every pointwise op answers from its expression and its shape rule. */
function pointwise<P extends Params>(
  name: string,
  expression: (params: P) => Expr,
  infer: (params: P, inputs: readonly TensorType[]) => readonly TensorType[],
): Op<P> {
  return {
    name,
    traits: ["pointwise"],
    infer,
    expression,
    referenceAt: (params, inputs, _output, at) =>
      compile(expression(params))(inputs.map((input) => elementAt(input, at))),
    reference: (params, inputs, [type]) => {
      const value = compile(expression(params));
      const out = new Float64Array(sizeOf(type!.shape));
      const windows = inputs.map((input) => ({ offset: 0, strides: broadcastStrides(input.shape, type!.shape) }));
      const args = inputs.map(() => 0);
      forEachOffset(type!.shape, windows, (i, offsets) => {
        for (let n = 0; n < args.length; n++) args[n] = inputs[n]!.data[offsets[n]!]!;
        out[i] = value(args);
      });
      return [out];
    },
    flops: (params, _inputs, [out]) => sizeOf(out!.shape) * operations(expression(params)),
    // One correctly rounded operation errs by its store alone; chains and functions by some units in the last place.
    tolerance: (params, _inputs, dtype) => {
      const e = expression(params);
      return forFloat(dtype, stored(dtype) + (isExact(e) ? 0 : 32 * arithmeticRoundoff(dtype)));
    },
  };
}

const sameFloat = (name: string) => (_params: Params, inputs: readonly TensorType[]) => {
  expectCount(name, inputs, 1);
  return [{ dtype: expectFloat(name, inputs), shape: inputs[0]!.shape }];
};

const ofOne = (name: string, expression: (x: Expr) => Expr): Op<Record<string, never>> =>
  pointwise(name, () => expression(arg(0)), sameFloat(name));

const ofFunction = (fn: UnaryFn): Op<Record<string, never>> => ofOne(fn, (x) => unary(fn, x));

/** Two inputs of one dtype, integers too where `integers`, broadcast against each other. */
const ofTwo = (name: string, fn: BinaryFn, integers = true): Op<Record<string, never>> =>
  pointwise(
    name,
    () => binary(fn, arg(0), arg(1)),
    (_params, inputs) => {
      expectCount(name, inputs, 2);
      const [x, y] = inputs as [TensorType, TensorType];
      if (x.dtype !== y.dtype) misfit(name, inputs, "the inputs must have one dtype; cast one of them");
      expect(x.dtype !== "bool" && (integers || isFloat(x.dtype)), name, inputs, `has no meaning for ${x.dtype}`);
      const shape = broadcast(x.shape, y.shape) ?? misfit(name, inputs, "the shapes do not broadcast");
      return [{ dtype: x.dtype, shape }];
    },
  );

export const add = ofTwo("add", "add");
export const sub = ofTwo("sub", "sub");
export const mul = ofTwo("mul", "mul");
export const div = ofTwo("div", "div", false);
export const maximum = ofTwo("maximum", "max");
export const minimum = ofTwo("minimum", "min");

export const neg = ofFunction("neg");
export const abs = ofFunction("abs");
export const square = ofFunction("square");
export const sqrt = ofFunction("sqrt");
export const rsqrt = ofFunction("rsqrt");
export const recip = ofFunction("recip");
export const exp = ofFunction("exp");
export const log = ofFunction("log");
export const tanh = ofFunction("tanh");
export const sigmoid = ofFunction("sigmoid");
export const sin = ofFunction("sin");
export const cos = ofFunction("cos");

/** max(x, 0). */
export const relu = ofOne("relu", (x) => binary("max", x, 0));

/** x · sigmoid(x). */
export const silu = ofOne("silu", (x) => binary("mul", x, unary("sigmoid", x)));

/** x · sigmoid(1.702 x), CLIP's. */
export const quickGelu = ofOne("quick_gelu", (x) => binary("mul", x, unary("sigmoid", binary("mul", x, 1.702))));

/** ½ x (1 + erf(x / √2)). */
export const geluErf = ofOne("gelu_erf", (x) =>
  binary("mul", binary("mul", x, 0.5), binary("add", unary("erf", binary("mul", x, Math.SQRT1_2)), 1)),
);

/**
 * ½ x (1 + tanh z) with z = √(2/π) (x + 0.044715 x³), said as x · sigmoid(2z), which is the same number: one
 * exponential, and no cancellation for negative x.
 */
export const geluTanh = ofOne("gelu_tanh", (x) => {
  const cubic = binary("mul", unary("square", x), 2 * Math.sqrt(2 / Math.PI) * 0.044715);
  return binary("mul", x, unary("sigmoid", binary("mul", x, binary("add", cubic, 2 * Math.sqrt(2 / Math.PI)))));
});

/** x · by. */
export const scale: Op<{ by: number }> = pointwise<{ by: number }>(
  "scale",
  ({ by }) => binary("mul", arg(0), by),
  sameFloat("scale"),
);

/** x + by. */
export const offset: Op<{ by: number }> = pointwise<{ by: number }>(
  "offset",
  ({ by }) => binary("add", arg(0), by),
  sameFloat("offset"),
);

/** The same numbers in another dtype, rounded by the store. From floats to integers there is none: no one rounding rule. */
export const cast: Op<{ to: DType }> = pointwise<{ to: DType }>(
  "cast",
  () => arg(0),
  ({ to }, inputs) => {
    expectCount("cast", inputs, 1);
    const [x] = inputs as [TensorType];
    expect(isFloat(to) || !isFloat(x.dtype), "cast", inputs, `floats do not become ${to}`);
    expect(to !== "bool", "cast", inputs, "nothing becomes bool");
    return [{ dtype: to, shape: x.shape }];
  },
);
