// Values over an accumulator's rows and columns, as each thread of a warpgroup holds them: rows g and g + 8 of its
// warp's 16 (g = lane / 4), columns 2·(lane % 4) and the next one of every group of 8. A value over both axes is four
// variables a group (r0c0 … r1c1), one over the rows two (r0, r1), one over the columns two (c0, c1), a scalar one.
// Columns may be heads of elements, or of pairs of elements: neighbours are a pair, of which a thread has both, so a value
// over rows and pairs is two variables a group, one over pairs alone one.
import { TroupeError } from "../../core/error.js";
import type { LoadOp, Operand, ReduceOp, TileProgram, Value, ValueId, ValueOp } from "../../tile/program.js";
import { isConstant } from "../../tile/program.js";
import { indicesOf, paramOf, valuesOf } from "../../tile/query.js";
import { binaryText, castText, compareText, cudaType, literal, rounded, unaryText } from "./pointwise.js";

export type Reach = "scalar" | "row" | "pair" | "rowPair" | "col" | "full";
export type Half = 0 | 1;
/** The variable of a value that the skeleton made, at one of the four places. */
export type Leaf = (row: Half, col: Half) => string;

export interface FragmentAxes {
  readonly row: string;
  readonly col: string;
  /** Axes that lie whole inside a position of col; the last is that of neighbours where there are two. */
  readonly inner?: readonly string[];
  /** Columns that are groups of so many elements, one after another: `inner` is one axis, of a group's. */
  readonly groups?: number | undefined;
}

/** Which of a fragment's axes a value spans. */
export function reachOf(value: Pick<Value, "axes">, axes: FragmentAxes): Reach {
  const { inner = [] } = axes;
  const row = value.axes.includes(axes.row);
  const col = value.axes.includes(inner.at(-1) ?? axes.col);
  if (!col && inner.some((axis) => value.axes.includes(axis))) return row ? "rowPair" : "pair";
  return row && col ? "full" : row ? "row" : col ? "col" : "scalar";
}

/** The places at which a value of this reach has variables. */
export function placesOf(reach: Reach): readonly (readonly [Half, Half])[] {
  switch (reach) {
    case "full":
      return [[0, 0], [0, 1], [1, 0], [1, 1]]; // prettier-ignore
    case "row":
    case "rowPair":
      return [[0, 0], [1, 0]]; // prettier-ignore
    case "col":
      return [[0, 0], [0, 1]]; // prettier-ignore
    case "scalar":
    case "pair":
      return [[0, 0]];
    default:
      return reach satisfies never;
  }
}

export const suffixOf = (reach: Reach, row: Half, col: Half): string =>
  reach === "full"
    ? `_r${row}c${col}`
    : reach === "row" || reach === "rowPair"
      ? `_r${row}`
      : reach === "col"
        ? `_c${col}`
        : "";

/** Statements by where they belong: once a tile, once a group of columns. */
export interface FragmentLines {
  readonly tile: readonly string[];
  readonly group: readonly string[];
}

/** Writes the ops of one fragment. `leaves` are values that the skeleton provides. */
export class FragmentWriter {
  readonly values: ReadonlyMap<ValueId, Value>;
  readonly #program: TileProgram;
  readonly axes: FragmentAxes;
  readonly leaves: Map<ValueId, Leaf>;
  /** Elements of loads that stand somewhere else than in their tensor: in shared memory. */
  readonly held = new Map<ValueId, (row: Half) => string>();

  constructor(program: TileProgram, axes: FragmentAxes, leaves: ReadonlyMap<ValueId, Leaf>) {
    this.#program = program;
    this.values = valuesOf(program);
    this.axes = axes;
    this.leaves = new Map(leaves);
  }

  reach(id: ValueId): Reach {
    return reachOf(this.values.get(id)!, this.axes);
  }

  /** The variable of a value at a place. */
  variable(id: ValueId, row: Half, col: Half): string {
    const leaf = this.leaves.get(id);
    return leaf ? leaf(row, col) : `v${id}${suffixOf(this.reach(id), row, col)}`;
  }

  operand(x: Operand, like: ValueId, row: Half, col: Half): string {
    return isConstant(x) ? literal(x, this.values.get(like)!.dtype) : this.variable(x, row, col);
  }

  /** The expression of a pointwise op whose operands are read through `read`. */
  expression(op: ValueOp, row: Half, col: Half, read = (id: ValueId) => this.variable(id, row, col)): string {
    const of = (x: Operand, like: ValueId): string =>
      isConstant(x) ? literal(x, this.values.get(like)!.dtype) : read(x);
    switch (op.kind) {
      case "full":
        return literal(op.value, op.dtype);
      case "iota":
        return op.axis === this.axes.row
          ? `row${row}`
          : op.axis === this.axes.col
            ? this.axes.inner?.length
              ? "live_head"
              : `col${col}`
            : this.#position(op.axis);
      case "unary":
        return rounded(unaryText(op.fn, read(op.x), op.dtype), op.dtype);
      case "binary":
        return rounded(binaryText(op.fn, read(op.x), of(op.y, op.x), op.dtype), op.dtype);
      case "compare":
        return compareText(op.fn, read(op.x), of(op.y, op.x));
      case "where":
        return `(${read(op.mask)} ? ${of(op.x, op.id)} : ${of(op.y, op.id)})`;
      case "cast":
        return castText(read(op.x), this.values.get(op.x)!.dtype, op.dtype);
      case "pick":
        return this.variable(op.x, row, op.position as Half);
      case "stack":
        return this.variable(op.parts[col]!, row, 0);
      default:
        throw new TroupeError("internal", `${op.kind} is no pointwise op`);
    }
  }

  /** Statements for `ops`, which must be pointwise, loads or sums that `sum` writes, in text order. */
  lines(ops: readonly ValueOp[], sum?: (op: ReduceOp) => readonly string[]): FragmentLines {
    const tile: string[] = [];
    const group: string[] = [];
    for (const op of ops) {
      if (this.leaves.has(op.id)) continue;
      if (op.kind === "reduce" && sum) {
        tile.push(...sum(op));
        continue;
      }
      const reach = this.reach(op.id);
      const into = reach === "row" || reach === "scalar" ? tile : group;
      if (op.kind === "load") into.push(...this.#load(op, reach));
      else
        for (const [row, col] of placesOf(reach))
          into.push(
            `const ${cudaType(op.dtype)} v${op.id}${suffixOf(reach, row, col)} = ${this.expression(op, row, col)};`,
          );
    }
    return { tile, group };
  }

  #position(axis: string): string {
    const index = this.#program.grid.find((i) => i.axis === axis && i.step === "point");
    if (!index) throw new TroupeError("internal", `axis ${axis} has no point in the grid`);
    return `point${index.id}`;
  }

  /** Element offset of a load at a place; dead rows and columns are clamped to live ones. */
  #offset(op: LoadOp, row: Half, col: Half): string {
    const indices = indicesOf(this.#program);
    const { axes } = paramOf(this.#program, op.tensor);
    return axes
      .map((axis, dim) => {
        const at = op.at.find((p) => p.along === axis);
        const place =
          at?.kind === "point"
            ? `point${indices.get(at.index)!.id}`
            : axis === this.axes.row
              ? `live_row${row}`
              : this.#column(axis, col);
        return dim === axes.length - 1 ? place : `${place} * stride_${op.tensor}_${dim}`;
      })
      .join(" + ");
  }

  /** The position along an axis of the columns. */
  #column(axis: string, col: Half): string {
    const { inner = [], groups } = this.axes;
    const at = inner.indexOf(axis);
    if (groups) return `(live_col${col} ${at < 0 ? "/" : "%"} ${groups})`;
    if (inner.length === 0) return `live_col${col}`;
    if (at < 0) return "live_head";
    return inner.length === 1 ? `(2 * pair + ${col})` : at === 0 ? "pair" : String(col);
  }

  #load(op: LoadOp, reach: Reach): string[] {
    const { axes } = paramOf(this.#program, op.tensor);
    const pointer = `at_${op.tensor}`;
    const wide = op.dtype === "bf16" || op.dtype === "f16";
    const paired =
      (reach === "full" || reach === "col") &&
      axes.at(-1) === (this.axes.inner?.at(-1) ?? this.axes.col) &&
      (wide || op.dtype === "f32");
    if (!paired)
      return placesOf(reach).map(([row, col]) => {
        // Read for the sums and for the results, some by all heads: kept for the next time they would not fit the registers.
        const again = op.dtype === "f32" && (reach === "pair" || reach === "rowPair");
        const held = this.held.get(op.id);
        const element = held ? held(row) : again ? `load_again(${pointer} + ${this.#offset(op, row, col)})` : `${pointer}[${this.#offset(op, row, col)}]`; // prettier-ignore
        const text = wide ? `low_${op.dtype}(${element})` : element;
        return `const ${cudaType(op.dtype)} v${op.id}${suffixOf(reach, row, col)} = ${text};`;
      });
    return (reach === "full" ? ([0, 1] as const) : ([0] as const)).flatMap((row) => {
      const pair = `pair${op.id}_${row}`;
      const address = `${pointer} + ${this.#offset(op, row, 0)}`;
      const parts = wide ? [`low_${op.dtype}(${pair})`, `high_${op.dtype}(${pair})`] : [`${pair}.x`, `${pair}.y`];
      const word = wide ? "u32" : "float2";
      return [
        `const ${word} ${pair} = ${this.axes.inner?.length && !this.axes.groups ? "load_again" : "__ldg"}((const ${word}*)(${address}));`,
        ...parts.map((part, col) => `const float v${op.id}${suffixOf(reach, row, col as Half)} = ${part};`),
      ];
    });
  }
}
