// The order in which the elements of a strided window lie in memory: innermost runs at one stride.
import { sizeOf, type Shape, type Strides } from "../core/shape.js";

interface Run {
  readonly dim: number;
  readonly stride: number;
}

/** Calls per innermost run: its first position in memory, its first row-major index, its length and stride. */
export type RunVisitor = (at: number, index: number, count: number, stride: number) => void;

/** A window's dims, merged where they lie at one stride. */
export class StridedRuns {
  readonly #outer: readonly Run[];
  readonly #inner: Run;

  constructor(shape: Shape, strides: Strides) {
    const runs = collapse(shape, strides);
    this.#outer = runs.slice(0, -1);
    this.#inner = runs.at(-1)!;
  }

  forEach(visit: RunVisitor): void {
    const { dim, stride } = this.#inner;
    const outer = this.#outer;
    const rows = outer.reduce((product, run) => product * run.dim, 1);
    if (dim === 0) return;
    const counter = outer.map(() => 0);
    let at = 0;
    for (let row = 0; row < rows; row++) {
      visit(at, row * dim, dim, stride);
      for (let d = outer.length - 1; d >= 0; d--) {
        at += outer[d]!.stride;
        counter[d]! += 1;
        if (counter[d] !== outer[d]!.dim) break;
        at -= outer[d]!.stride * outer[d]!.dim;
        counter[d] = 0;
      }
    }
  }
}

/** Dims merged where they lie at one stride, outermost first; at least one. */
function collapse(shape: Shape, strides: Strides): readonly Run[] {
  const runs: { dim: number; stride: number }[] = [];
  shape.forEach((dim, d) => {
    const last = runs.at(-1);
    if (dim === 1) return;
    if (last && last.stride === dim * strides[d]!) {
      last.dim *= dim;
      last.stride = strides[d]!;
    } else runs.push({ dim, stride: strides[d]! });
  });
  return runs.length > 0 ? runs : [{ dim: sizeOf(shape), stride: 1 }];
}
