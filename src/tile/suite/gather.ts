// Rows found by index: embeddings, permutations, and products whose rows are picked on the way in and added on the
// way out (mixtures of experts, LoRA by row). An index outside the tensor reads zeros and stores nothing.
import type { DType } from "../../core/dtype.js";
import { inout, input, kernel, output } from "../index.js";
import type { FloatDot } from "./matmul.js";

/** y[M C] = table[id[M] C] */
export const gatherRows = (d: DType) =>
  kernel(
    "gather_rows",
    { id: input("i32", "M"), table: input(d, "V", "C"), y: output(d, "M", "C") },
    (t, { id, table, y }) => {
      const [m, c] = [t.program("M"), t.program("C")];
      t.store(y, [m, c], t.load(table, t.gather("V", t.load(id, m)), c));
    },
  );

/** y[to[M] C] = x[M C]; the other rows stay. */
export const scatterRows = (d: DType) =>
  kernel("scatter_rows", { to: input("i32", "M"), x: input(d, "M", "C"), y: inout(d, "R", "C") }, (t, { to, x, y }) => {
    const [m, c] = [t.program("M"), t.program("C")];
    t.store(y, [t.gather("R", t.load(to, m)), c], t.load(x, m, c));
  });

/** y[row[M] N] += weight[M] · (x[row[M] K] · b[N K]): rows may repeat. */
export const gatherMatmulScatter = (d: FloatDot) =>
  kernel(
    "gather_matmul_scatter",
    {
      row: input("i32", "M"),
      weight: input("f32", "M"),
      x: input(d, "T", "K"),
      b: input(d, "N", "K"),
      y: inout("f32", "T", "N"),
    },
    (t, { row, weight, x, b, y }) => {
      const [m, n] = [t.program("M"), t.program("N")];
      const rows = t.gather("T", t.load(row, m));
      const acc = t.loop("K", t.zeros("f32", "M", "N"), (k, sum) =>
        t.dot(t.load(x, rows, k), t.load(b, n, k), "K", sum),
      );
      t.store(y, [rows, n], acc.mul(t.load(weight, m)), "add");
    },
  );
