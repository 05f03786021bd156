// The work between the two products of attention, from its traced ops: pointwise chains over the scores, reductions
// of their rows (inside a thread, then over the four lanes that share a row), and values of a row.
//
// Values over both axes are kept as arrays (4 numbers a group of 8 columns) where they are dear or used twice, and
// written into their uses otherwise. Two rewritings that keep the meaning: max(x·c) = c·max(x) for c > 0, and a carry
// that is only scaled by row values and added to is summed over the four lanes once, after the loop.
import type { LoopOp, Operand, ReduceOp, ValueId, ValueOp, WhereOp } from "../../tile/program.js";
import { constantOf, isConstant } from "../../tile/program.js";
import type { FragmentWriter, Half } from "./fragment.js";
import { placesOf, suffixOf } from "./fragment.js";
import { cudaType } from "./pointwise.js";

const DEAR = new Set(["exp", "exp2", "log", "log2", "tanh", "sigmoid", "erf", "sin", "cos", "sqrt", "rsqrt", "recip"]);
/** What a reduction starts with, by its function. */
export const IDENTITY = {
  sum: "0.f",
  mean: "0.f",
  max: "__int_as_float(0xff800000)",
  min: "__int_as_float(0x7f800000)",
};

export const operandsOf = (op: ValueOp): readonly ValueId[] => {
  const ids = (...xs: readonly (Operand | null)[]): ValueId[] =>
    xs.filter((x) => x !== null && !isConstant(x)) as ValueId[];
  switch (op.kind) {
    case "unary":
    case "cast":
    case "reduce":
    case "pick":
      return ids(op.x);
    case "binary":
    case "compare":
      return ids(op.x, op.y);
    case "where":
      return ids(op.mask, op.x, op.y);
    case "dot":
      return ids(op.a, op.b, op.acc);
    case "stack":
      return op.parts;
    case "load":
    case "full":
    case "iota":
    case "bound":
      return [];
    default:
      return op satisfies never;
  }
};

/** Row sums whose four lanes may be added after the loop: `carry' = carry · rows… + sum(x)`, the carry used only so. */
export function deferredSums(
  loop: LoopOp,
  ops: ReadonlyMap<ValueId, ValueOp>,
  startsAtZero: (init: ValueId) => boolean,
): ReadonlySet<ValueId> {
  const uses = (id: ValueId): number =>
    loop.yields.filter((y) => y === id).length +
    [...ops.values()].reduce((sum, op) => sum + operandsOf(op).filter((x) => x === id).length, 0);
  const found = new Set<ValueId>();
  loop.yields.forEach((yielded, i) => {
    const add = ops.get(yielded);
    if (add?.kind !== "binary" || add.fn !== "add" || isConstant(add.y) || !startsAtZero(loop.init[i]!)) return;
    for (const [scaled, summed] of [
      [add.x, add.y],
      [add.y, add.x],
    ] as const) {
      const reduce = ops.get(summed);
      if (reduce?.kind !== "reduce" || reduce.fn !== "sum" || uses(summed) !== 1 || uses(yielded) !== 1) continue;
      const carry = loop.args[i]!.id;
      const scale = ops.get(scaled);
      const plain = scaled === carry;
      const byRow =
        scale?.kind === "binary" &&
        scale.fn === "mul" &&
        !isConstant(scale.y) &&
        (scale.x === carry) !== (scale.y === carry);
      if (uses(carry) === 1 && (plain || (byRow && uses(scaled) === 1))) found.add(summed);
    }
  });
  return found;
}

/** What is known of a block of keys. */
export interface BlockFacts {
  /** Columns from `live_columns` on are dead. */
  readonly masked: boolean;
  /** No key of the block comes after any query: `key <= query` holds everywhere. */
  readonly belowDiagonal: boolean;
}

export interface RowWork {
  /** Statements of one block of keys. */
  readonly text: (facts: BlockFacts) => string;
  /** Whether some op compares keys with queries, so that blocks below the diagonal are cheaper. */
  readonly compares: boolean;
  /** The value at element (j, row, col) of a value over both axes. */
  readonly element: (id: ValueId, row: Half, col: Half) => string;
}

export function rowWork(
  writer: FragmentWriter,
  ops: readonly ValueOp[],
  wanted: readonly ValueId[],
  keys: number,
  deferred: ReadonlySet<ValueId>,
): RowWork {
  const byId = new Map(ops.map((op) => [op.id, op]));
  const uses = new Map<ValueId, number>();
  for (const id of [...ops.flatMap(operandsOf), ...wanted]) uses.set(id, (uses.get(id) ?? 0) + 1);
  const kept = (op: ValueOp): boolean =>
    writer.reach(op.id) === "full" &&
    ((op.kind === "unary" && DEAR.has(op.fn)) ||
      (op.kind === "binary" && op.fn === "div") ||
      ((uses.get(op.id) ?? 0) > 1 && op.kind !== "iota" && op.kind !== "full" && !scaling(op, byId)));

  const diagonal = new Set(ops.filter((op) => isCausal(op, byId, writer)).map((op) => op.id));
  let below = false;
  const open = (op: ValueOp | undefined): op is WhereOp =>
    below && op?.kind === "where" && diagonal.has(op.mask) && !isConstant(op.x);
  /** The value itself, or what a mask that holds everywhere lets through. */
  const seen = (id: ValueId): ValueId => {
    const op = byId.get(id);
    return open(op) && !isConstant(op.x) ? seen(op.x) : id;
  };
  const element = (asked: ValueId, row: Half, col: Half): string => {
    const id = seen(asked);
    const op = byId.get(id);
    if (!op || writer.leaves.has(id) || writer.reach(id) === "row" || writer.reach(id) === "scalar")
      return writer.variable(id, row, col);
    if (kept(op)) return `v${id}[4 * j + ${2 * row + col}]`;
    return writer.expression(op, row, col, (x) => element(x, row, col));
  };
  const columns = "      const int col0 = key0 + j * 8 + (lane & 3) * 2, col1 = col0 + 1;\n";
  const loopOver = (body: string): string =>
    `#pragma unroll\n    for (int j = 0; j < ${keys / 8}; ++j) {\n${body.includes("col0") || body.includes("col1") ? columns : ""}${body}    }\n`;
  const live = (text: string, col: Half, masked: boolean, otherwise: string): string =>
    masked ? `(j * 8 + (lane & 3) * 2 + ${col} < live_columns ? ${text} : ${otherwise})` : text;

  const reduction = (op: ReduceOp, masked: boolean): string => {
    const { x, scale } = hoisted(op, seen(op.x), byId);
    const fn = op.fn as keyof typeof IDENTITY;
    const join = (a: string, b: string): string =>
      fn === "sum" || fn === "mean" ? `${a} + ${b}` : `${fn === "max" ? "fmaxf" : "fminf"}(${a}, ${b})`;
    const part = (row: Half, col: Half): string => `part${op.id}_r${row}c${col}`;
    const declare = placesOf("full")
      .map(([r, c]) => `    float ${part(r, c)} = ${IDENTITY[fn]};\n`)
      .join("");
    const body = placesOf("full")
      .map(([r, c]) => `      ${part(r, c)} = ${join(part(r, c), live(element(x, r, c), c, masked, IDENTITY[fn]))};\n`)
      .join("");
    const rows = ([0, 1] as const)
      .map((r) => {
        const v = `v${op.id}_r${r}`;
        const lanes = deferred.has(op.id)
          ? ""
          : [1, 2].map((d) => `    ${v} = ${join(v, `__shfl_xor_sync(~0u, ${v}, ${d})`)};\n`).join("");
        return `    float ${v} = ${join(part(r, 0), part(r, 1))};\n${lanes}${scale === 1 ? "" : `    ${v} *= ${scale}f;\n`}`;
      })
      .join("");
    return declare + loopOver(body) + rows;
  };

  const text = ({ masked, belowDiagonal }: BlockFacts): string => {
    below = belowDiagonal;
    return ops
      .map((op) => {
        if (op.kind === "reduce") return reduction(op, masked);
        const reach = writer.reach(op.id);
        if (reach === "row" || reach === "scalar")
          return placesOf(reach)
            .map(
              ([r, c]) =>
                `    const ${cudaType(op.dtype)} v${op.id}${suffixOf(reach, r, c)} = ${writer.expression(op, r, c)};\n`,
            )
            .join("");
        if (!kept(op) || open(op)) return "";
        const body = placesOf("full")
          .map(
            ([r, c]) =>
              `      v${op.id}[4 * j + ${2 * r + c}] = ${writer.expression(op, r, c, (x) => element(x, r, c))};\n`,
          )
          .join("");
        return `    ${cudaType(op.dtype)} v${op.id}[${keys / 2}];\n${loopOver(body)}`;
      })
      .join("");
  };
  return { text, element, compares: diagonal.size > 0 };
}

/** `key <= query` or `query >= key`. */
function isCausal(op: ValueOp, ops: ReadonlyMap<ValueId, ValueOp>, { axes }: FragmentWriter): boolean {
  if (op.kind !== "compare" || isConstant(op.y)) return false;
  const [x, y] = [ops.get(op.x), ops.get(op.y)];
  if (x?.kind !== "iota" || y?.kind !== "iota") return false;
  return (
    (op.fn === "le" && x.axis === axes.col && y.axis === axes.row) ||
    (op.fn === "ge" && x.axis === axes.row && y.axis === axes.col)
  );
}

/** `x · c` with a constant: cheap enough to be written twice, since it joins the next addition. */
const scaling = (op: ValueOp, ops: ReadonlyMap<ValueId, ValueOp>): boolean =>
  op.kind === "binary" && op.fn === "mul" && isConstant(op.y) && !(ops.get(op.x)?.kind === "unary");

/** max and min of x·c, c > 0, without the product inside. */
function hoisted(
  op: ReduceOp,
  of: ValueId,
  ops: ReadonlyMap<ValueId, ValueOp>,
): { readonly x: ValueId; readonly scale: number } {
  const product = ops.get(of);
  if (
    (op.fn === "max" || op.fn === "min") &&
    product?.kind === "binary" &&
    product.fn === "mul" &&
    isConstant(product.y)
  ) {
    const scale = constantOf(product.y);
    if (scale > 0 && product.dtype === "f32") return { x: product.x, scale: Math.fround(scale) };
  }
  return { x: of, scale: 1 };
}
