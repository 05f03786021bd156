// Attention in one pass over the keys, token-major: running maximum, running sum, rescaled accumulator. Query heads
// that share a key head are points of their own axis.
import type { Tile } from "../tile/index.js";
import { Sheet, type Floats, type KernelForm } from "./sheet.js";
import type { Located, Task } from "./task.js";

const LOWEST = -1e30;

export function attentionForm(task: Task): KernelForm {
  const [q, k, v, bias] = task.inputs as readonly [Located, Located, Located, Located?];
  const { scale, causal } = task.head.params as { scale: number; causal: boolean };
  const [B, Q, H, D] = q.shape as [number, number, number, number];
  const [, L, G] = k.shape as [number, number, number];
  const R = H / G;
  const sheet = new Sheet();
  for (const [axis, size] of Object.entries({ B, Q, G, R, L, D })) sheet.axis(axis, size);
  const heads = ({ strides: [b, t, h, d] }: Located): number[] => [b!, t!, h! * R, h!, d!];
  sheet.parameter("q", "in", q.source, q.dtype, ["B", "Q", "G", "R", "D"], heads(q));
  sheet.parameter("k", "in", k.source, k.dtype, ["B", "L", "G", "D"], k.strides);
  sheet.parameter("v", "in", v.source, v.dtype, ["B", "L", "G", "D"], v.strides);
  if (bias) {
    const [h, i, l] = bias.strides as [number, number, number];
    sheet.parameter("bias", "in", bias.source, bias.dtype, ["G", "R", "Q", "L"], [h * R, h, i, l]);
  }
  sheet.parameter("out", "out", task.output.source, task.output.dtype, ["B", "Q", "G", "R", "D"], heads(task.output));
  return sheet.finish("attention", (body) => {
    const { t } = body;
    const at = { B: t.each("B"), G: t.each("G"), R: t.each("R"), Q: t.program("Q") };
    const queries = body.raw("q", at) as Tile<"f32", string>;
    const start = {
      max: t.full("f32", LOWEST, "Q") as Floats,
      sum: t.zeros("f32", "Q") as Floats,
      acc: t.zeros("f32", "Q", "D") as Floats,
    };
    const visit = causal ? { to: t.end(at.Q).add(L - Q) } : {};
    const end = t.loop(
      "L",
      start,
      (col, s) => {
        const here = { ...at, L: col };
        let scores = (t.dot(queries, body.raw("k", here) as Tile<"f32", string>, "D") as unknown as Floats).mul(scale * Math.LOG2E); // prettier-ignore
        if (bias) scores = scores.add(body.floats("bias", here).mul(Math.LOG2E));
        if (causal)
          scores = scores.where(
            t
              .iota(col)
              .sub(L - Q)
              .le(t.iota(at.Q)),
            LOWEST,
          );
        const max = s.max.maximum(scores.max("L") as unknown as Floats);
        const p = scores.sub(max).exp2();
        const decay = s.max.sub(max).exp2();
        const weights = p.to(q.dtype) as unknown as Tile<"f32", string>;
        return {
          max,
          sum: s.sum.mul(decay).add(p.sum("L") as unknown as Floats),
          acc: t.dot(weights, body.raw("v", here) as Tile<"f32", string>, "L", s.acc.mul(decay) as never) as unknown as Floats, // prettier-ignore
        };
      },
      visit,
    );
    body.store("out", at, end.acc.div(end.sum));
  });
}
