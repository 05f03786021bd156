// How a dot is laid onto register blocks: which operand runs along the vector lanes, which of its axes is the column,
// the row, the contracted step. Depends on definitions and layouts only, so it can be asked before anything is emitted.
import type { CastOp, DotOp, LoadOp, ValueId } from "../../tile/program.js";
import { dotRoles } from "../../tile/query.js";
import type { Term } from "../layout.js";
import { defaultTile, lanesOf } from "../schedule.js";
import type { Context, Extent, Home } from "./context.js";
import { tensorStep } from "./vector.js";

export interface DotShape {
  /** The operand that is broadcast, row by row. */
  readonly rows: ValueId;
  /** The operand whose column axis runs along the lanes. */
  readonly lanes: ValueId;
  readonly batch: readonly string[];
  readonly row: string | null;
  readonly otherRows: readonly string[];
  readonly column: string;
  readonly otherColumns: readonly string[];
  readonly step: string;
  readonly otherSteps: readonly string[];
  readonly tile: { readonly rows: number; readonly vectors: number };
  /** Columns of a panel. */
  readonly width: number;
}

/** A cast that changes no number: to the same type, or from bf16 to f32. */
export function isWidening(context: Context, op: CastOp): boolean {
  const from = context.value(op.x).dtype;
  return from === op.dtype || (from === "bf16" && op.dtype === "f32");
}

/** The load behind a value that needs no work but a widening. */
export function plainLoad(context: Context, id: ValueId): LoadOp | undefined {
  if (context.homes.has(id)) return undefined;
  const op = context.definitions.get(id);
  if (op?.kind === "load") return op;
  if (op?.kind === "cast" && isWidening(context, op)) return plainLoad(context, op.x);
  return undefined;
}

/** The terms along which a tensor access moves with `axis` of the tile; undefined where it is not one dim, one to one. */
export function termsAlong(context: Context, load: LoadOp, axis: string): readonly Term[] | undefined {
  const param = context.program.params.find(({ name }) => name === load.tensor)!;
  const moving = param.axes.flatMap((name, dim) => {
    const position = load.at.find(({ along }) => along === name);
    if (position?.kind === "point") return [];
    if (position?.kind === "value") return context.axesOf(position.value).includes(axis) ? [undefined] : [];
    if (position?.kind === "window") return position.axis === axis ? [undefined] : [];
    return name === axis ? [context.layout(load.tensor)[dim]!] : [];
  });
  return moving.length === 1 ? moving[0] : undefined;
}

const isPanel = (terms: readonly Term[] | undefined): terms is readonly [Term, Term] =>
  terms?.length === 2 && terms[0]!.modulo === null && terms[1]!.divide === 1 && terms[1]!.modulo === terms[0]!.divide;

/** The width of the panels along an axis; 0 where there are none. */
export const panelWidth = (terms: readonly Term[] | undefined): number => (isPanel(terms) ? terms[0].divide : 0);

const isUnit = (terms: readonly Term[] | undefined): boolean =>
  terms?.length === 1 && terms[0]!.divide === 1 && terms[0]!.modulo === null && terms[0]!.stride === 1;

function laneMerit(context: Context, id: ValueId, free: readonly string[], depth: number): number {
  const lanes = lanesOf(context.target);
  const extents = new Map(knownExtents(context, id));
  const size = (axis: string): number => extents.get(axis)?.max ?? context.sizeOf(axis);
  const elements = free.reduce((product, axis) => product * size(axis), 1);
  const penalty = elements < lanes ? 40 : 0;
  const load = plainLoad(context, id);
  if (load) {
    const terms = free.map((axis) => termsAlong(context, load, axis));
    if (terms.some(isPanel)) return 100 - penalty;
    if (terms.some((t, i) => isUnit(t) && size(free[i]!) >= lanes)) return 50 - penalty;
  }
  return (context.depths.get(id)! < depth ? 30 : 0) - penalty;
}

/** Undefined: no operand has an axis for the lanes. */
export function dotShape(context: Context, op: DotOp): DotShape | undefined {
  const [a, b] = [context.value(op.a), context.value(op.b)];
  const roles = dotRoles(op, a, b);
  const depth = context.depths.get(op.id)!;
  const merit = (id: ValueId, free: readonly string[]): number =>
    free.length === 0 ? -1000 : laneMerit(context, id, free, depth);
  const swap = merit(op.a, roles.m) > merit(op.b, roles.n);
  const [rows, lanes] = swap ? [op.b, op.a] : [op.a, op.b];
  const [m, n] = swap ? [roles.n, roles.m] : [roles.m, roles.n];
  if (n.length === 0) return undefined;
  const laneLoad = plainLoad(context, lanes);
  const rowLoad = plainLoad(context, rows);
  const extents = new Map([...knownExtents(context, op.a), ...knownExtents(context, op.b)]);
  const size = (axis: string): number => extents.get(axis)?.max ?? context.sizeOf(axis);
  const largest = (axes: readonly string[], merit: (axis: string) => number): string =>
    axes.reduce((best, axis) => (merit(axis) > merit(best) ? axis : best));
  const laneTerms = (axis: string): readonly Term[] | undefined => laneLoad && termsAlong(context, laneLoad, axis);
  const column = largest(n, (axis) => (panelWidth(laneTerms(axis)) ? 1e9 : isUnit(laneTerms(axis)) ? 1e8 : size(axis)));
  const row = m.length === 0 ? null : largest(m, size);
  const packed = panelWidth(laneTerms(column));
  const steps = roles.k;
  const step = largest(steps, (axis) => {
    const along = rowLoad ? tensorStep(context, rowLoad.tensor, rowLoad.at, axis) : undefined;
    const packedStep = packed && laneTerms(axis)?.some(({ stride }) => stride <= 2 * packed) ? 1e9 : 0;
    return packedStep + (along === 1 ? 1e6 : 0) + size(axis);
  });
  const width = lanesOf(context.target);
  const wanted = context.schedule.tile ?? defaultTile(context.target);
  const vectors = packed ? packed / width : Math.min(wanted.vectors, Math.ceil(size(column) / width));
  const registers = context.target.vectorBytes === 64 ? 32 : 16;
  const most = Math.max(1, Math.min(wanted.rows * Math.max(1, Math.floor(wanted.vectors / vectors)), Math.floor((registers - vectors - 1) / vectors), 16)); // prettier-ignore
  const count = row === null ? 1 : size(row);
  const rowsOfTile = Math.ceil(count / Math.ceil(count / most));
  return {
    rows,
    lanes,
    batch: roles.batch,
    row,
    otherRows: m.filter((axis) => axis !== row),
    column,
    otherColumns: n.filter((axis) => axis !== column),
    step,
    otherSteps: steps.filter((axis) => axis !== step),
    tile: { rows: rowsOfTile, vectors },
    width: vectors * width,
  };
}

/** Extents of the axes whose index stands already. */
function knownExtents(context: Context, id: ValueId): [string, Extent][] {
  const value = context.value(id);
  return value.axes.flatMap((axis, i): [string, Extent][] => {
    const span = value.spans[i]!;
    return span !== null && !context.places.has(span) ? [] : [[axis, context.extentOf(axis, span)]];
  });
}

/** Products side by side are written and read one line of each at a time: those must not fall into the same cache sets. */
export const spread = (stride: number, by: number): number => (stride % 128 === 0 ? stride + by : stride);

/** The layout of a dot's result: rows of whole panels. */
export function resultTerms(
  shape: DotShape,
  axes: ReadonlyMap<string, Extent>,
): { terms: Home["terms"]; elements: number } {
  const terms: Record<string, readonly Term[]> = {};
  let stride = 1;
  const order = [...shape.batch, ...shape.otherRows, ...shape.otherColumns, ...(shape.row === null ? [] : [shape.row]), shape.column]; // prettier-ignore
  for (const axis of order.toReversed()) {
    if (shape.batch.includes(axis)) stride = spread(stride, shape.width);
    terms[axis] = [{ divide: 1, modulo: null, stride }];
    stride *= axis === shape.column ? Math.ceil(axes.get(axis)!.max / shape.width) * shape.width : axes.get(axis)!.max;
  }
  return { terms, elements: stride };
}
