// Any pointwise op in float64 from its scalar expression: one loop a node of the expression, over blocks that stay in
// the first-level cache. Nothing is compiled, so it works where code generation is forbidden.
import { binaryValue, unaryValue, type BinaryFn, type Expr, type UnaryFn } from "../../core/scalar.js";
import { contiguous, sameShape, sizeOf, type Shape } from "../../core/shape.js";
import type { RefTensor } from "../../graph/op.js";

/** Elements computed at a time. */
const BLOCK = 1024;

/** `expr` of the broadcast inputs at every element of `shape`. */
export function evaluatePointwise(expr: Expr, inputs: readonly RefTensor[], shape: Shape): Float64Array {
  const size = sizeOf(shape);
  const out = new Float64Array(size);
  const args = inputs.map((input) => expand(input, shape));
  const pool = new Pool();
  for (let start = 0; start < size; start += BLOCK) {
    const count = Math.min(BLOCK, size - start);
    const blocks = args.map((arg) => (arg.length === 1 ? arg : arg.subarray(start, start + count)));
    const result = block(expr, blocks, count, pool);
    if (result.length === 1) out.fill(result[0]!, start, start + count);
    else out.set(result.subarray(0, count), start);
    pool.release(result);
  }
  return out;
}

/** A tensor repeated to `shape`; a single element stays one. */
function expand(tensor: RefTensor, shape: Shape): Float64Array {
  if (tensor.data.length === 1 || sameShape(tensor.shape, shape)) return tensor.data;
  const dense = contiguous(tensor.shape);
  const lead = shape.length - tensor.shape.length;
  const strides = shape.map((_, d) => (d < lead || tensor.shape[d - lead] === 1 ? 0 : dense[d - lead]!));
  const out = new Float64Array(sizeOf(shape));
  const inner = shape.at(-1)!;
  const innerStride = strides.at(-1)!;
  const counter = shape.map(() => 0);
  let at = 0;
  for (let row = 0; row < out.length; row += inner) {
    if (innerStride === 0) out.fill(tensor.data[at]!, row, row + inner);
    else out.set(tensor.data.subarray(at, at + inner), row);
    for (let d = shape.length - 2; d >= 0; d--) {
      at += strides[d]!;
      counter[d]! += 1;
      if (counter[d] !== shape[d]) break;
      at -= strides[d]! * shape[d]!;
      counter[d] = 0;
    }
  }
  return out;
}

/** Scratch blocks, given back as soon as they are read. */
class Pool {
  readonly #free: Float64Array[] = [];
  readonly #mine = new Set<Float64Array>();

  take(): Float64Array {
    const taken = this.#free.pop() ?? new Float64Array(BLOCK);
    this.#mine.add(taken);
    return taken;
  }

  release(scratch: Float64Array): void {
    if (this.#mine.delete(scratch)) this.#free.push(scratch);
  }
}

/** One block: an array of `count` elements, or of one where all are equal. Arguments are returned as they are. */
function block(expr: Expr, args: readonly Float64Array[], count: number, pool: Pool): Float64Array {
  switch (expr.kind) {
    case "arg":
      return args[expr.index]!;
    case "const":
      return new Float64Array([expr.value]);
    case "unary": {
      const x = block(expr.x, args, count, pool);
      const out = pool.take();
      unaryLoop(expr.fn, x, out, x.length === 1 ? 1 : count);
      return settle(x.length === 1, out, pool, x);
    }
    case "binary": {
      const x = block(expr.x, args, count, pool);
      const y = block(expr.y, args, count, pool);
      const one = x.length === 1 && y.length === 1;
      const out = pool.take();
      binaryLoop(expr.fn, x, y, out, one ? 1 : count);
      return settle(one, out, pool, x, y);
    }
    case "select": {
      const condition = block(expr.condition, args, count, pool);
      const x = block(expr.x, args, count, pool);
      const y = block(expr.y, args, count, pool);
      const out = pool.take();
      const [sc, sx, sy] = [condition, x, y].map((a) => (a.length === 1 ? 0 : 1)) as [number, number, number];
      for (let i = 0; i < count; i++) out[i] = condition[i * sc] ? x[i * sx]! : y[i * sy]!;
      return settle(false, out, pool, condition, x, y);
    }
    default:
      return expr satisfies never;
  }
}

/** The result block, shortened to one element where all are equal; what it was made from goes back to the pool. */
function settle(one: boolean, out: Float64Array, pool: Pool, ...read: readonly Float64Array[]): Float64Array {
  for (const scratch of read) pool.release(scratch);
  if (!one) return out;
  pool.release(out);
  return out.slice(0, 1);
}

/** The frequent functions have loops of their own: a call through a table costs several times the work. */
function unaryLoop(fn: UnaryFn, x: Float64Array, out: Float64Array, count: number): void {
  if (fn === "sigmoid") for (let i = 0; i < count; i++) out[i] = 1 / (1 + Math.exp(-x[i]!));
  else if (fn === "exp") for (let i = 0; i < count; i++) out[i] = Math.exp(x[i]!);
  else if (fn === "square") for (let i = 0; i < count; i++) out[i] = x[i]! * x[i]!;
  else if (fn === "neg") for (let i = 0; i < count; i++) out[i] = -x[i]!;
  else if (fn === "tanh") for (let i = 0; i < count; i++) out[i] = Math.tanh(x[i]!);
  else {
    const f = unaryValue[fn];
    for (let i = 0; i < count; i++) out[i] = f(x[i]!);
  }
}

function binaryLoop(fn: BinaryFn, x: Float64Array, y: Float64Array, out: Float64Array, count: number): void {
  const sx = x.length === 1 ? 0 : 1;
  const sy = y.length === 1 ? 0 : 1;
  if (fn === "mul" && sx === 1 && sy === 1) for (let i = 0; i < count; i++) out[i] = x[i]! * y[i]!;
  else if (fn === "add" && sx === 1 && sy === 1) for (let i = 0; i < count; i++) out[i] = x[i]! + y[i]!;
  else if (fn === "add") for (let i = 0; i < count; i++) out[i] = x[i * sx]! + y[i * sy]!;
  else if (fn === "sub") for (let i = 0; i < count; i++) out[i] = x[i * sx]! - y[i * sy]!;
  else if (fn === "mul") for (let i = 0; i < count; i++) out[i] = x[i * sx]! * y[i * sy]!;
  else if (fn === "div") for (let i = 0; i < count; i++) out[i] = x[i * sx]! / y[i * sy]!;
  else {
    const f = binaryValue[fn];
    for (let i = 0; i < count; i++) out[i] = f(x[i * sx]!, y[i * sy]!);
  }
}
