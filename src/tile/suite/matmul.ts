// Products with what follows them: one text for every dtype, epilogue and target.
import { geluTanh, gelu, input, kernel, optional, output, silu, type DotDType, type Tile } from "../index.js";

export type FloatDot = Exclude<DotDType, "i16" | "i8" | "f8e4m3">;
export interface Epilogue {
  readonly bias?: boolean;
  readonly activation?: "gelu" | "gelu-tanh" | "silu";
  /** residual + gate · product, the gate one row for all of M. */
  readonly gatedResidual?: boolean;
}

const activate = <A extends string>(x: Tile<"f32", A>, how: Epilogue["activation"]): Tile<"f32", A> =>
  how === "gelu" ? gelu(x) : how === "gelu-tanh" ? geluTanh(x) : how === "silu" ? silu(x) : x;

/** c[M N] = epilogue(a[M K] · b[N K]). Options are of the text: an absent operand is no parameter. */
export const matmul = (d: FloatDot) =>
  kernel("matmul", { a: input(d, "M", "K"), b: input(d, "N", "K"), c: output(d, "M", "N") }, (t, { a, b, c }) => {
    const m = t.program("M");
    const n = t.program("N");
    const acc = t.loop("K", t.zeros("f32", "M", "N"), (k, sum) => t.dot(t.load(a, m, k), t.load(b, n, k), "K", sum));
    t.store(c, [m, n], acc.to(d));
  });

export const linear = (d: FloatDot, epilogue: Epilogue = {}) =>
  kernel(
    "linear",
    {
      a: input(d, "M", "K"),
      b: input(d, "N", "K"),
      bias: optional(epilogue.bias, input(d, "N")),
      gate: optional(epilogue.gatedResidual, input(d, "N")),
      residual: optional(epilogue.gatedResidual, input(d, "M", "N")),
      c: output(d, "M", "N"),
    },
    (t, { a, b, bias, gate, residual, c }) => {
      const m = t.program("M");
      const n = t.program("N");
      const acc = t.loop("K", t.zeros("f32", "M", "N"), (k, sum) => t.dot(t.load(a, m, k), t.load(b, n, k), "K", sum));
      let out = bias ? acc.add(t.load(bias, n).to("f32")) : acc;
      out = activate(out, epilogue.activation);
      if (gate && residual) out = out.mul(t.load(gate, n).to("f32")).add(t.load(residual, m, n).to("f32"));
      t.store(c, [m, n], out.to(d));
    },
  );
