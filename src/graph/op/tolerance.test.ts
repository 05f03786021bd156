// Plain float32 programs, every operation rounded, stay within the tolerances on all cases, in float32 and bfloat16.
import assert from "node:assert/strict";
import test from "node:test";
import { roundTo, type DType } from "../../core/dtype.js";
import { binaryValue, unaryValue, type Expr } from "../../core/scalar.js";
import { coordinateOf } from "../../core/shape.js";
import { tensorsOf, typesOf } from "../case.js";
import { allCases, casesOf } from "../cases.js";
import type { Params } from "../node.js";
import { elementAt, referenceOf, type RefTensor } from "../op.js";
import { ops } from "../ops.js";

const f = Math.fround;

/** The expression with every operation rounded to float32. */
function single(expr: Expr, args: readonly number[]): number {
  switch (expr.kind) {
    case "arg":
      return args[expr.index]!;
    case "const":
      return f(expr.value);
    case "unary":
      return f(unaryValue[expr.fn](single(expr.x, args)));
    case "binary":
      return f(binaryValue[expr.fn](single(expr.x, args), single(expr.y, args)));
    case "select":
      return single(expr.condition, args) ? single(expr.x, args) : single(expr.y, args);
    default:
      return expr satisfies never;
  }
}

const total = (values: Iterable<number>): number => {
  let sum = 0;
  for (const value of values) sum = f(sum + value);
  return sum;
};
const moments = (row: Float64Array) => {
  const mean = f(total(row) / row.length);
  return {
    mean,
    factor: (eps: number) => f(1 / f(Math.sqrt(f(f(total(row.map((x) => f(f(x - mean) ** 2))) / row.length) + eps)))),
  };
};

/** Float32 programs of the ops that sum, written as a simple kernel would be. */
const programs: Readonly<
  Record<string, (params: Params, inputs: readonly RefTensor[], narrow: DType) => Float64Array>
> = {
  rms_norm: ({ eps }, [x, w]) =>
    byRow(x!, (row) => {
      const factor = f(1 / f(Math.sqrt(f(f(total(row.map((v) => f(v * v))) / row.length) + (eps as number)))));
      return row.map((v, c) => f(f(v * factor) * (w ? w.data[c]! : 1)));
    }),
  layer_norm: ({ eps }, [x, w, b]) =>
    byRow(x!, (row) => {
      const { mean, factor } = moments(row);
      const by = factor(eps as number);
      return row.map((v, c) => f(f(f(f(v - mean) * by) * (w ? w.data[c]! : 1)) + (b ? b.data[c]! : 0)));
    }),
  group_norm: ({ eps, groups }, [x, w, b]) => {
    const [B, C, H, W] = x!.shape as [number, number, number, number];
    const grouped = { ...x!, shape: [B * (groups as number), (C * H * W) / (groups as number)] };
    const plain = byRow(grouped, (row) => {
      const { mean, factor } = moments(row);
      const by = factor(eps as number);
      return row.map((v) => f(f(v - mean) * by));
    });
    return plain.map((v, i) => {
      const c = Math.floor(i / (H * W)) % C;
      return f(f(v * w!.data[c]!) + b!.data[c]!);
    });
  },
  softmax: (_params, [x]) => byRow(x!, softmaxOf),
  attention: ({ scale, causal }, [q, k, v, bias], narrow) => {
    const [, Q, H, D] = q!.shape as [number, number, number, number];
    const [, L, G] = k!.shape as [number, number, number];
    const out = new Float64Array(q!.data.length);
    for (let at = 0; at < out.length; at += D) {
      const [b, m, h] = coordinateOf(at, q!.shape) as [number, number, number];
      const key = (l: number) => ((b * L + l) * G + Math.floor(h / (H / G))) * D;
      const scores = Float64Array.from({ length: causal ? L - Q + m + 1 : L }, (_, l) => {
        let score = 0;
        for (let e = 0; e < D; e++) score = f(score + f(q!.data[at + e]! * k!.data[key(l) + e]!));
        return f(f(score * f(scale as number)) + (bias ? elementAt(bias, [h, m, l]) : 0));
      });
      const weights = softmaxOf(scores).map((p) => roundTo(narrow, p));
      for (let d = 0; d < D; d++) out[at + d] = total(weights.map((p, l) => f(p * v!.data[key(l) + d]!)));
    }
    return out;
  },
  conv2d: ({ stride, padding }, [x, w, b]) => {
    const example = { stride: stride as number, padding: padding as number[] };
    const [type] = ops.get("conv2d")!.infer(example, b ? [x!, w!, b] : [x!, w!]);
    const [, C, H, W] = x!.shape as [number, number, number, number];
    const [, , kh, kw] = w!.shape as [number, number, number, number];
    return Float64Array.from({ length: type!.shape.reduce((a, c) => a * c) }, (_, index) => {
      const [n, o, i, j] = coordinateOf(index, type!.shape) as [number, number, number, number];
      let sum = 0;
      for (let t = 0; t < C * kh * kw; t++) {
        const [c, r, s] = [Math.floor(t / (kh * kw)), Math.floor(t / kw) % kh, t % kw];
        const [y, z] = [i * example.stride + r - example.padding[0]!, j * example.stride + s - example.padding[1]!];
        if (y >= 0 && y < H && z >= 0 && z < W)
          sum = f(sum + f(elementAt(x!, [n, c, y, z]) * elementAt(w!, [o, c, r, s])));
      }
      return b ? f(sum + b.data[o]!) : sum;
    });
  },
  linear: (_params, [x, w, b]) => {
    const [N, K] = w!.shape as [number, number];
    return Float64Array.from({ length: (x!.data.length / K) * N }, (_, i) => {
      const [row, column] = [Math.floor(i / N) * K, (i % N) * K];
      const sum = total(Array.from({ length: K }, (_, k) => f(x!.data[row + k]! * w!.data[column + k]!)));
      return b ? f(sum + b.data[i % N]!) : sum;
    });
  },
};

function softmaxOf(row: Float64Array): Float64Array {
  const highest = row.reduce((a, b) => Math.max(a, b));
  const weights = row.map((value) => f(Math.exp(f(value - highest))));
  const sum = total(weights);
  return weights.map((weight) => f(weight / sum));
}

function byRow(x: RefTensor, program: (row: Float64Array) => Float64Array): Float64Array {
  const C = x.shape.at(-1)!;
  const out = new Float64Array(x.data.length);
  for (let at = 0; at < out.length; at += C) out.set(program(x.data.subarray(at, at + C)), at);
  return out;
}

/** The worst row's ‖ours − reference‖ / ‖reference‖; a row that should be zero must be. */
function worstRow(ours: Float64Array, { data, shape }: RefTensor): number {
  const width = shape.at(-1)!;
  let worst = 0;
  for (let at = 0; at < data.length; at += width) {
    const row = data.subarray(at, at + width);
    const off = Math.hypot(...row.map((value, c) => ours[at + c]! - value));
    if (off > 0) worst = Math.max(worst, off / Math.hypot(...row));
  }
  return worst;
}

for (const dtype of ["f32", "bf16"] as const) {
  test(`pointwise programs in float32 pass as ${dtype}`, () => {
    for (const example of allCases) {
      const op = ops.get(example.op)!;
      const expression = op.expression?.(example.params);
      if (!expression) continue;
      const inputs = tensorsOf(example, dtype);
      const [whole] = referenceOf(op, example.params, inputs);
      const ours = whole!.data.map((_, i) => {
        const at = coordinateOf(i, whole!.shape);
        return roundTo(whole!.dtype, single(expression, inputs.map((input) => elementAt(input, at)))); // prettier-ignore
      });
      const tolerance = op.tolerance(example.params, typesOf(example, dtype), whole!.dtype);
      const error = worstRow(ours, whole!);
      assert.ok(error <= tolerance, `${op.name}, ${example.title}: ${error} is beyond ${tolerance}`);
    }
  });
  for (const [name, program] of Object.entries(programs))
    test(`${name} summed in float32 passes as ${dtype}, and not by a factor of a hundred`, () => {
      let closest = 0;
      for (const example of casesOf(name)) {
        const op = ops.get(name)!;
        const inputs = tensorsOf(example, dtype);
        const [whole] = referenceOf(op, example.params, inputs);
        const ours = program(example.params, inputs, dtype).map((x) => roundTo(dtype, x));
        const tolerance = op.tolerance(example.params, inputs, dtype);
        const error = worstRow(ours, whole!);
        assert.ok(error <= tolerance, `${name}, ${example.title}: ${error} is beyond ${tolerance}`);
        closest = Math.max(closest, error / tolerance);
      }
      assert.ok(closest > 0.01, `${name}: the tolerance is ${1 / closest} times the worst error`);
    });
}
