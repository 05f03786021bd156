// Results that many programs make together, and tensors changed in place.
import { inout, input, kernel, type DotDType } from "../index.js";

/** y[M N] += gate[N] · x[M N], where y lies. */
export const addInPlace = (d: Exclude<DotDType, "i16" | "i8" | "f8e4m3">) =>
  kernel("add_in_place", { x: input(d, "M", "N"), gate: input(d, "N"), y: inout(d, "M", "N") }, (t, { x, gate, y }) => {
    const [m, n] = [t.program("M"), t.program("N")];
    const sum = t
      .load(x, m, n)
      .to("f32")
      .mul(t.load(gate, n).to("f32"))
      .add(t.load(y, m, n).to("f32"));
    t.store(y, [m, n], sum.to(d));
  });

/** sum[C] += Σ x and most[C] = max(most, |x|) over the rows, each program adding what its rows give. */
export const columnStatistics = kernel(
  "column_statistics",
  { x: input("f32", "T", "C"), sum: inout("f32", "C"), most: inout("f32", "C") },
  (t, { x, sum, most }) => {
    const [row, c] = [t.program("T"), t.program("C")];
    const v = t.load(x, row, c);
    t.store(sum, [c], v.sum("T"), "add");
    t.store(most, [c], v.abs().max("T"), "max");
  },
);

/** count[bin] += 1 for every bin[N]. */
export const histogram = kernel(
  "histogram",
  { bin: input("i32", "N"), count: inout("i32", "Bin") },
  (t, { bin, count }) => {
    const n = t.program("N");
    t.store(count, [t.gather("Bin", t.load(bin, n))], t.full("i32", 1, "N"), "add");
  },
);
