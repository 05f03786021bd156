// A 3×3 convolution of a picture whose pixels were doubled both ways. Results of one parity of row and column, a phase,
// see 2×2 pixels of the small picture: taps that meet the same pixel are summed beforehand. Four kernels, one a phase,
// make 16 products where there were 36, and the large picture is never there.
import { dtypeBytes } from "../core/dtype.js";
import { sizeOf } from "../core/shape.js";
import { convForm, type Moments } from "./image.js";
import type { KernelForm } from "./sheet.js";
import type { Located, Task } from "./task.js";

type Four = readonly [number, number, number, number];
type Parity = 0 | 1;

/** Row and column of a result, modulo 2, in the order in which phases lie in the pack. */
export const PHASES: readonly (readonly [Parity, Parity])[] = [[0, 0], [0, 1], [1, 0], [1, 1]]; // prettier-ignore

/** By parity: which of three taps, along rows or columns, each of the two of a phase is the sum of. */
export const SUMMED_TAPS = [
  [[0], [1, 2]],
  [[0, 1], [2]],
] as const; // prettier-ignore

/** Shape of the filters of all phases, of the convolution's filters [O, C, 3, 3]: [phases, O, 2, 2, C], dense. */
export const phaseFilters = ([O, C]: readonly number[]): readonly [number, number, 2, 2, number] => [PHASES.length, O!, 2, 2, C!]; // prettier-ignore

/**
 * The kernels of a task that doubles its picture, which read a pack of the filters in their place.
 * @param moments of the results of each phase
 * @see Task.doubles
 */
export const upsampleConvForms = (task: Task, moments: readonly Moments[] = []): readonly KernelForm[] =>
  PHASES.map((_, phase) => convForm(phaseTask(task, phase), { width: 0, pairs: false }, moments[phase]));

/** A phase as a convolution of its own: of the small picture, by filters 2×2, to every other pixel of the result. */
function phaseTask(task: Task, phase: number): Task {
  const [x, w, ...bias] = task.inputs as readonly [Located, Located, ...Located[]];
  const [row, column] = PHASES[phase]!;
  const [O, C] = w.shape as Four;
  const [, ...filter] = phaseFilters(w.shape);
  const strides = [4 * C, 1, 2 * C, C];
  const filters = { ...w, source: further(w, phase * sizeOf(filter)), shape: [O, C, 2, 2], strides };
  const everyOther = (operand: Located): Located => ofPhase(operand, row, column);
  return {
    head: { ...task.head, params: { stride: 1, padding: [1 - row, 1 - column, row, column] } },
    inputs: [x, filters, ...bias],
    links: task.links.map((link) => ({ ...link, other: link.other && everyOther(link.other) })),
    output: everyOther(task.output),
  };
}

/** What a phase sees of an operand that broadcasts to the result. */
function ofPhase(operand: Located, row: Parity, column: Parity): Located {
  const { shape, strides } = operand;
  const parityOf = (d: number): Parity | undefined => {
    const fromEnd = shape.length - d;
    return shape[d] === 1 || fromEnd > 2 ? undefined : fromEnd === 2 ? row : column;
  };
  const parities = shape.map((_, d) => parityOf(d));
  return {
    ...operand,
    source: further(operand, parities.reduce<number>((sum, parity, d) => sum + (parity ?? 0) * strides[d]!, 0)),
    shape: shape.map((size, d) => (parities[d] === undefined ? size : size / 2)),
    strides: strides.map((stride, d) => (parities[d] === undefined ? stride : 2 * stride)),
  }; // prettier-ignore
}

const further = ({ source, dtype }: Located, elements: number): Located["source"] => ({ ...source, offsetBytes: (source.offsetBytes ?? 0) + elements * dtypeBytes(dtype) }); // prettier-ignore
