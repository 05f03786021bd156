// The type of every op: which operands it takes and what dtype, axes and spans it makes. Trace asks it while the text
// runs; verify asks it again of a program from anywhere.
import { isFloat, type DType } from "../core/dtype.js";
import { TroupeError } from "../core/error.js";
import {
  BINARY,
  COMPARE,
  REDUCE,
  UNARY,
  constantOf,
  isConstant,
  type AxisDecl,
  type Index,
  type IndexId,
  type LoopOp,
  type Operand,
  type ParamDecl,
  type Position,
  type StoreOp,
  type Value,
  type ValueId,
  type ValueOp,
} from "./program.js";

export type Typed = Pick<Value, "dtype" | "axes" | "spans">;

/** What a rule may look up; each throws for what is not known or not open at this place. */
export interface Scope {
  value(id: ValueId): Typed;
  index(id: IndexId): Index;
  param(name: string): ParamDecl;
  axis(name: string): AxisDecl;
}

/** A sentence that the caller completes with the op and its line. */
export class RuleError extends TroupeError {
  constructor(message: string) {
    super("trace", message);
  }
}

const INTEGERS: Partial<Record<DType, readonly [low: number, high: number]>> = {
  i32: [-(2 ** 31), 2 ** 31 - 1], i16: [-32768, 32767], i8: [-128, 127], u8: [0, 255], bool: [0, 1],
}; // prettier-ignore
/** The functions of every kind of op that names one. */
const FUNCTIONS = { unary: UNARY, binary: BINARY, compare: COMPARE, reduce: REDUCE } as const;
const DOT_DTYPES: readonly DType[] = ["f32", "f16", "bf16", "f8e4m3", "i16", "i8"];
const fail = (message: string): never => {
  throw new RuleError(message);
};
const calculates = (dtype: DType): boolean => (isFloat(dtype) && dtype !== "f8e4m3") || dtype === "i32";
const show = (t: Typed): string => `${t.dtype}[${t.axes.join(" ")}]`;

/** The axes of several values together, first come first; their spans must agree. */
export function joined(parts: readonly Typed[]): Pick<Typed, "axes" | "spans"> {
  const spans = new Map<string, IndexId | null>();
  for (const part of parts)
    part.axes.forEach((axis, i) => {
      const span = part.spans[i]!;
      const known = spans.get(axis);
      if (known !== undefined && known !== span)
        fail(`one side has ${known === null ? "the whole" : "a block"} of ${axis}, the other ${span === null ? "the whole" : "another block"}`);
      spans.set(axis, span);
    }); // prettier-ignore
  return { axes: [...spans.keys()], spans: [...spans.values()] };
}

/** The operand's axes must be among the receiver's. */
function within(receiver: Typed, operand: Typed): void {
  const extra = operand.axes.filter((axis) => !receiver.axes.includes(axis));
  if (extra.length > 0) fail(`the operand has axis ${extra.join(", ")}, which [${receiver.axes.join(" ")}] lacks`);
  joined([receiver, operand]);
}

/** Checks that a constant can stand beside a value of `dtype`; gives the operand's type. */
function operandType(operand: Operand, dtype: DType, scope: Scope): Typed {
  if (!isConstant(operand)) {
    const type = scope.value(operand);
    if (type.dtype !== dtype) fail(`${dtype} meets ${type.dtype}; cast one with .to()`);
    return type;
  }
  const value = constantOf(operand);
  const [low, high] = INTEGERS[dtype] ?? [-Infinity, Infinity];
  if (!isFloat(dtype) && !(Number.isInteger(value) && value >= low && value <= high)) fail(`${value} is no ${dtype}`);
  return { dtype, axes: [], spans: [] };
}

/** An i32 number: a constant or a value without axes. */
function scalar(operand: Operand, what: string, scope: Scope): void {
  const type = operandType(operand, "i32", scope);
  if (type.axes.length > 0) fail(`${what} must be one number, not a tile over [${type.axes.join(" ")}]`);
}

const reduced = (x: Typed, over: readonly string[]): Pick<Typed, "axes" | "spans"> => ({
  axes: x.axes.filter((axis) => !over.includes(axis)),
  spans: x.spans.filter((_, i) => !over.includes(x.axes[i]!)),
});

/** The axes that a load at these places has, or that a stored value must have. */
export function placed(param: ParamDecl, at: readonly Position[], scope: Scope): Typed {
  const places = new Map(at.map((position) => [position.along, position]));
  if (places.size !== at.length) fail(`two places along one axis of ${param.name}`);
  const stray = at.find((position) => !param.axes.includes(position.along));
  if (stray) fail(`${param.name} has no axis ${stray.along}`);
  const parts = param.axes.map((axis): Typed => {
    const place = places.get(axis);
    const over = (name: string, span: IndexId | null): Typed => ({ dtype: "i32", axes: [name], spans: [span] });
    if (!place) return over(axis, null);
    switch (place.kind) {
      case "block":
      case "point": {
        const index = scope.index(place.index);
        if (index.axis !== axis) fail(`a place along ${index.axis} cannot stand along ${axis}; use window or point`);
        if (index.step !== place.kind) fail(`index of ${axis} is a ${index.step}, used as a ${place.kind}`);
        return place.kind === "block" ? over(axis, index.id) : { dtype: "i32", axes: [], spans: [] };
      }
      case "value": {
        return operandType(place.value, "i32", scope);
      }
      case "window": {
        if (place.index === null) scope.axis(place.axis);
        else if (scope.index(place.index).axis !== place.axis || scope.index(place.index).step !== "block")
          fail(`a window needs a block of ${place.axis}`);
        for (const [what, n] of [["stride", place.stride], ["divide", place.divide]] as const)
          if (!Number.isInteger(n) || n < 1) fail(`a window's ${what} must be a positive integer, not ${n}`); // prettier-ignore
        scalar(place.offset, "a window's offset", scope);
        return over(place.axis, place.index);
      }
      default:
        return place satisfies never;
    }
  });
  return { dtype: param.dtype, ...joined(parts) };
}

/** The type of the value an op makes. `full`, `cast` and a `where` of two constants bring their own dtype. */
export function typeOf(op: ValueOp, scope: Scope): Typed {
  if ("fn" in op && !(FUNCTIONS[op.kind] as readonly string[]).includes(op.fn)) fail(`${op.kind} has no such function`);
  switch (op.kind) {
    case "load": {
      const param = scope.param(op.tensor);
      if (param.mode === "out") fail(`${param.name} is an output; only inputs and inouts are read`);
      return placed(param, op.at, scope);
    }
    case "full":
      operandType(op.value, op.dtype, scope);
      op.axes.forEach((axis, i) => {
        scope.axis(axis);
        const span = op.spans[i]!;
        if (span !== null && scope.index(span).axis !== axis) fail(`span of ${axis} is an index of another axis`);
      });
      if (new Set(op.axes).size !== op.axes.length) fail(`an axis is named twice: [${op.axes.join(" ")}]`);
      return { dtype: op.dtype, axes: op.axes, spans: op.spans };
    case "iota": {
      scope.axis(op.axis);
      const index = op.index === null ? null : scope.index(op.index);
      if (index && index.axis !== op.axis) fail(`an index of ${index.axis} has no positions along ${op.axis}`);
      return index?.step === "point"
        ? { dtype: "i32", axes: [], spans: [] }
        : { dtype: "i32", axes: [op.axis], spans: [op.index] };
    }
    case "bound":
      scope.axis(op.axis);
      if ((op.of === "size") !== (op.index === null))
        fail(`${op.of} of ${op.axis}: a size has no index, the others have`);
      if (op.index !== null && (scope.index(op.index).axis !== op.axis || scope.index(op.index).step !== "block"))
        fail(`${op.of} needs a block of ${op.axis}`);
      return { dtype: "i32", axes: [], spans: [] };
    case "unary": {
      const x = scope.value(op.x);
      const ok =
        op.fn === "not" ? x.dtype === "bool" || x.dtype === "i32"
        : op.fn === "neg" || op.fn === "abs" || op.fn === "square" ? calculates(x.dtype)
        : calculates(x.dtype) && isFloat(x.dtype); // prettier-ignore
      return ok ? x : fail(`${op.fn} does not take ${x.dtype}; cast with .to()`);
    }
    case "binary": {
      const x = scope.value(op.x);
      const ok =
        op.fn === "and" || op.fn === "or" || op.fn === "xor" ? x.dtype === "bool" || x.dtype === "i32"
        : op.fn === "idiv" || op.fn === "mod" || op.fn === "shl" || op.fn === "shr" ? x.dtype === "i32"
        : op.fn === "div" ? isFloat(x.dtype) && calculates(x.dtype)
        : calculates(x.dtype); // prettier-ignore
      if (!ok)
        fail(`${op.fn} does not take ${x.dtype}${op.fn === "div" ? "; integers divide by idiv" : "; cast with .to()"}`);
      within(x, operandType(op.y, x.dtype, scope));
      return x;
    }
    case "compare": {
      const x = scope.value(op.x);
      return { dtype: "bool", ...joined([x, operandType(op.y, x.dtype, scope)]) };
    }
    case "where": {
      const mask = scope.value(op.mask);
      if (mask.dtype !== "bool") fail(`a mask must be bool, not ${mask.dtype}`);
      const dtype = !isConstant(op.x)
        ? scope.value(op.x).dtype
        : !isConstant(op.y)
          ? scope.value(op.y).dtype
          : op.dtype;
      return { dtype, ...joined([operandType(op.x, dtype, scope), operandType(op.y, dtype, scope), mask]) };
    }
    case "cast":
      return { ...scope.value(op.x), dtype: op.dtype };
    case "reduce": {
      const x = scope.value(op.x);
      checkOver(op.over, [x]);
      const arg = op.fn === "argmax" || op.fn === "argmin";
      if (arg && op.over.length !== 1) fail(`${op.fn} goes over one axis`);
      if (!calculates(x.dtype) || (op.fn === "mean" && !isFloat(x.dtype))) fail(`${op.fn} does not take ${x.dtype}`);
      return { dtype: arg ? "i32" : x.dtype, ...reduced(x, op.over) };
    }
    case "dot": {
      const a = scope.value(op.a);
      const b = scope.value(op.b);
      if (a.dtype !== b.dtype || !DOT_DTYPES.includes(a.dtype)) fail(`dot does not take ${show(a)} with ${show(b)}`);
      checkOver(op.over, [a, b]);
      const made: Typed = {
        dtype: isFloat(a.dtype) ? "f32" : "i32",
        ...reduced({ dtype: a.dtype, ...joined([a, b]) }, op.over),
      };
      if (op.acc !== null) checkSame("the accumulator", scope.value(op.acc), made);
      return made;
    }
    case "pick": {
      const x = scope.value(op.x);
      checkOver([op.axis], [x]);
      const { size } = scope.axis(op.axis);
      if (size === null) fail(`${op.axis} has no fixed size; declare it with axis("${op.axis}", SIZE)`);
      else if (!Number.isInteger(op.position) || op.position < 0 || op.position >= size)
        fail(`${op.axis} has no position ${op.position}`);
      return { dtype: x.dtype, ...reduced(x, [op.axis]) };
    }
    case "stack": {
      const parts = op.parts.map((id) => scope.value(id));
      const first = parts[0] ?? fail("stack needs tiles");
      if (first.axes.includes(op.axis)) fail(`the tiles have axis ${op.axis} already`);
      if (scope.axis(op.axis).size !== parts.length)
        fail(
          `${parts.length} tiles make an axis ${op.axis} of that size; declare it with axis("${op.axis}", ${parts.length})`,
        );
      parts.forEach((part) => checkSame("a stacked tile", part, first));
      return { dtype: first.dtype, axes: [...first.axes, op.axis], spans: [...first.spans, null] };
    }
    default:
      return fail(`there is no op ${String((op satisfies never as { readonly kind: unknown }).kind)}`);
  }
}

function checkOver(over: readonly string[], of: readonly Typed[]): void {
  if (over.length === 0) fail("an axis to go over is missing");
  if (new Set(over).size !== over.length) fail(`an axis is named twice: [${over.join(" ")}]`);
  for (const axis of over)
    for (const x of of) if (!x.axes.includes(axis)) fail(`[${x.axes.join(" ")}] has no axis ${axis}`);
}

/** Same dtype, same axes in any order, same spans. */
export function checkSame(what: string, x: Typed, like: Typed): void {
  const same = x.axes.length === like.axes.length && x.axes.every((axis) => like.axes.includes(axis));
  if (x.dtype !== like.dtype || !same) fail(`${what} is ${show(x)}, wanted ${show(like)}`);
  const other = x.axes.find((axis, i) => x.spans[i] !== like.spans[like.axes.indexOf(axis)]);
  if (other) fail(`${what} lies over another block of ${other} than wanted, or over its whole`);
}

export function checkStore(op: StoreOp, scope: Scope): void {
  const param = scope.param(op.tensor);
  if (param.mode === "in") fail(`${param.name} is an input; only outputs and inouts are stored to`);
  if (op.reduce !== null && param.mode !== "inout")
    fail(`a reducing store needs an inout: ${param.name} holds nothing to reduce into`);
  if (op.reduce !== null && !calculates(param.dtype)) fail(`a reducing store does not take ${param.dtype}`);
  checkSame(`the stored value`, scope.value(op.value), placed(param, op.at, scope));
}

/** The range of a loop or a block: bounds are numbers, a share belongs to a point of the grid or of an outer loop. */
export function checkRange(range: LoopOp["range"], scope: Scope): void {
  if (range.from !== null) scalar(range.from, "from", scope);
  if (range.to !== null) scalar(range.to, "to", scope);
  if (range.part !== null && scope.index(range.part).step !== "point") fail("a share needs a point (each)");
}
