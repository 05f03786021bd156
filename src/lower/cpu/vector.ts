// Which axis of a loop nest is innermost, and so runs along the vector lanes: the one that most loads and stores of the
// nest walk through with unit stride.
import { type Position, type ValueId } from "../../tile/program.js";
import { paramOf } from "../../tile/query.js";
import { plainStride, type Term } from "../layout.js";
import type { Context, Extent } from "./context.js";

/** Elements between neighbours along an axis, for one access; undefined: irregular. */
type Step = number | undefined;

const stepOf = (terms: readonly Term[]): Step =>
  plainStride(terms) ?? terms.find(({ divide, modulo }) => divide === 1 && modulo !== null)?.stride;

/** How an access of a tensor moves when `axis` of the tile advances by one. */
export function tensorStep(context: Context, tensor: string, positions: readonly Position[], axis: string): Step {
  const layout = context.layout(tensor);
  let step: Step = 0;
  paramOf(context.program, tensor).axes.forEach((name, dim) => {
    const position = positions.find(({ along }) => along === name);
    let factor = name === axis ? 1 : 0;
    if (position?.kind === "point") factor = 0;
    if (position?.kind === "value") {
      if (context.axesOf(position.value).includes(axis)) step = undefined;
      factor = 0;
    }
    if (position?.kind === "window") {
      factor = position.axis === axis ? position.stride : 0;
      if (factor !== 0 && position.divide !== 1) step = undefined;
    }
    const own = stepOf(layout[dim]!);
    if (factor !== 0) step = step === undefined || own === undefined ? undefined : step + factor * own;
  });
  return step;
}

/** The steps of all memory accesses that computing a value takes. */
export function stepsOf(context: Context, id: ValueId, axis: string, seen = new Set<ValueId>()): Step[] {
  if (seen.has(id)) return [];
  seen.add(id);
  const home = context.homes.get(id);
  if (home) return [home.terms[axis] ? stepOf(home.terms[axis]) : 0];
  const op = context.definitions.get(id);
  const of = (...ids: readonly unknown[]): Step[] =>
    ids.flatMap((x) => (typeof x === "number" ? stepsOf(context, x, axis, seen) : []));
  switch (op?.kind) {
    case "load":
      return [
        tensorStep(context, op.tensor, op.at, axis),
        ...op.at.flatMap((p) => (p.kind === "value" ? of(p.value) : p.kind === "window" ? of(p.offset) : [])),
      ];
    case "unary":
    case "cast":
    case "pick":
      return of(op.x);
    case "binary":
    case "compare":
      return of(op.x, op.y);
    case "where":
      return of(op.mask, op.x, op.y);
    case "stack":
      return of(...op.parts);
    default:
      return [];
  }
}

/** Axes of a nest, outermost first, the vector axis last. */
export function loopOrder(
  axes: ReadonlyMap<string, Extent>,
  steps: (axis: string) => readonly Step[],
  lanes: number,
): string[] {
  const score = (axis: string): number => {
    const extent = axes.get(axis)!.max;
    const fill = Math.min(1, extent / lanes);
    const merit = steps(axis).reduce<number>(
      (sum, step) => sum + (step === 1 ? 3 : step === 0 ? 0.5 : step !== undefined && step <= 4 ? 0.8 : -1),
      0,
    );
    return merit > 0 ? merit * fill : merit;
  };
  const reach = (axis: string): number => steps(axis).reduce<number>((sum, step) => sum + (step ?? 4096), 0);
  const names = [...axes.keys()];
  if (names.length === 0) return [];
  const scores = new Map(names.map((axis) => [axis, score(axis)]));
  const vector = names.reduce((best, axis) => (scores.get(axis)! > scores.get(best)! ? axis : best));
  return [...names.filter((axis) => axis !== vector).toSorted((a, b) => reach(b) - reach(a)), vector];
}
