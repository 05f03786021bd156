// Dims to axes: the dims of a result, dims of 1 dropped and neighbours merged wherever every operand lies so that one
// stride serves both, become the axes of a kernel.
import type { Shape, Strides } from "../core/shape.js";

/** An operand that broadcasts to the result, dims aligned at the end; `null` strides: it lacks the dim. */
export type Steps = readonly (number | null)[];

export interface Frame {
  /** Outermost first. */
  readonly axes: readonly { readonly name: string; readonly size: number }[];
  /** Axes and strides of each operand, in the order given. */
  readonly operands: readonly { readonly axes: readonly string[]; readonly strides: Strides }[];
}

/** The steps of an operand of `shape` over the dims of `result`. */
export function stepsOver(result: Shape, shape: Shape, strides: Strides): Steps {
  const lead = result.length - shape.length;
  return result.map((_, d) => (d < lead || shape[d - lead] === 1 ? null : strides[d - lead]!));
}

/**
 * @param names one name a dim; merged dims take the name of the inner one
 * @param mayMerge whether dim d may be merged with dim d + 1
 */
export function frameOf(
  result: Shape,
  names: readonly string[],
  operands: readonly Steps[],
  mayMerge: (d: number) => boolean,
): Frame {
  interface Group {
    readonly name: string;
    readonly size: number;
    readonly last: number;
    readonly steps: readonly (number | null)[];
  }
  const groups: Group[] = [];
  result.forEach((size, d) => {
    if (size === 1) return;
    const own: Group = { name: names[d]!, size, last: d, steps: operands.map((steps) => steps[d]!) };
    const before = groups.at(-1);
    const between = (from: number): boolean => Array.from({ length: d - from }, (_, i) => from + i).every(mayMerge);
    const fits =
      before &&
      between(before.last) &&
      before.steps.every((step, i) => {
        const inner = own.steps[i]!;
        return step === null || inner === null ? step === inner : step === inner * size;
      });
    if (fits) groups[groups.length - 1] = { ...own, size: before.size * size };
    else groups.push(own);
  });
  return {
    axes: groups.map(({ name, size }) => ({ name, size })),
    operands: operands.map((_, i) => {
      const present = groups.filter(({ steps }) => steps[i] !== null);
      return { axes: present.map(({ name }) => name), strides: present.map(({ steps }) => steps[i]!) };
    }),
  };
}
