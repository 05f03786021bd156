// Where the elements of a tensor lie: each axis contributes a sum of terms, so that strided views and packed panels
// are one form. Offsets count elements from the pointer that is bound.
import { contiguous, type Shape, type Strides } from "../core/shape.js";
import type { Expr } from "./thread.js";
import { at, plus, quotient, remainder, times } from "./scalar.js";

/** (floor(i / divide) mod modulo) · stride; modulo null: no wrap. */
export interface Term {
  readonly divide: number;
  readonly modulo: number | null;
  readonly stride: number;
}

/** Terms of every axis of a param, in its order. */
export type Layout = readonly (readonly Term[])[];

export const strided = (strides: Strides): Layout => strides.map((stride) => [{ divide: 1, modulo: null, stride }]);

export const dense = (shape: Shape): Layout => strided(contiguous(shape));

/**
 * The packed form of a product's second operand: panels of `width` positions of axis `column`, which lie side by side
 * innermost; the other axes in their order, `step` (the contracted one) last. With `pairs`, two neighbours along `step`
 * lie together, as bf16 dot instructions read them; with `quads` four, as those of 8-bit integers do. Ends are padded to
 * whole panels and groups.
 */
export interface Panels {
  readonly column: number;
  readonly step: number;
  readonly width: number;
  readonly pairs: boolean;
  readonly quads?: boolean;
}

/** Neighbours along the contracted axis that lie together. */
export const groupOf = ({ pairs, quads }: Panels): number => (quads ? 4 : pairs ? 2 : 1);

export function panelLayout(shape: Shape, panels: Panels): { layout: Layout; elements: number } {
  const { column, step, width } = panels;
  const group = groupOf(panels);
  const layout: Term[][] = shape.map(() => []);
  layout[column]!.push({ divide: 1, modulo: width, stride: group });
  layout[step]!.push({ divide: group, modulo: null, stride: width * group });
  if (group > 1) layout[step]!.push({ divide: 1, modulo: group, stride: 1 });
  let stride = Math.ceil(shape[step]! / group) * width * group;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    if (axis === column || axis === step) continue;
    layout[axis]!.push({ divide: 1, modulo: null, stride });
    stride *= shape[axis]!;
  }
  layout[column]!.unshift({ divide: width, modulo: null, stride });
  return { layout, elements: stride * Math.ceil(shape[column]! / width) };
}

/** The stride of an axis where it has a single one; undefined for a split axis. */
export const plainStride = (terms: readonly Term[]): number | undefined =>
  terms.length === 1 && terms[0]!.divide === 1 && terms[0]!.modulo === null
    ? terms[0]!.stride
    : terms.length === 0
      ? 0
      : undefined;

/** A coordinate along an axis; `split` says it is outer · width + inner with 0 ≤ inner < width. */
export interface Coordinate {
  readonly expr: Expr;
  readonly split?: { readonly width: number; readonly outer: Expr; readonly inner: Expr };
}

/** The offset that a coordinate adds. */
export function offsetAlong(terms: readonly Term[], { expr, split }: Coordinate): Expr {
  let sum = at(0);
  for (const { divide, modulo, stride } of terms) {
    if (split && divide === split.width && modulo === null) sum = plus(sum, times(split.outer, stride));
    else if (split && divide === 1 && modulo === split.width) sum = plus(sum, times(split.inner, stride));
    else {
      const divided = quotient(expr, divide);
      sum = plus(sum, times(modulo === null ? divided : remainder(divided, modulo), stride));
    }
  }
  return sum;
}

/** The same for a number. */
export const offsetOfPosition = (terms: readonly Term[], position: number): number =>
  terms.reduce((sum, { divide, modulo, stride }) => {
    const divided = Math.floor(position / divide);
    return sum + (modulo === null ? divided : divided % modulo) * stride;
  }, 0);
