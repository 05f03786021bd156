// Attention with one point of the grid a head, query and key heads being as many: the form that the tensor-core skeleton
// recognises. The operands' strides stay those of the graph, so heads that lie side by side are read in place.
import type { Tile } from "../tile/index.js";
import { Sheet, type Floats, type KernelForm } from "./sheet.js";
import type { Located, Task } from "./task.js";

const LOWEST = -1e30;

/** Why this attention has no such form, or undefined. */
export function headsReason({ inputs, head }: Task): string | undefined {
  const [q, k, , bias] = inputs;
  if (bias) return "a bias is added to the scores";
  if (q!.shape[2] !== k!.shape[2]) return "query heads share key heads";
  if (head.params["causal"] === true && q!.shape[1] !== k!.shape[1]) return "the causal edge is shifted";
  return undefined;
}

export function attentionHeadsForm(task: Task): KernelForm {
  const [q, k, v] = task.inputs as readonly [Located, Located, Located];
  const { scale, causal } = task.head.params as { scale: number; causal: boolean };
  const [B, Q, H, D] = q.shape as [number, number, number, number];
  const sheet = new Sheet();
  for (const [axis, size] of Object.entries({ B, H, Q, L: k.shape[1]!, D })) sheet.axis(axis, size);
  const add = (name: string, row: string, operand: Located, mode: "in" | "out"): void => {
    const [b, t, h, d] = operand.strides as [number, number, number, number];
    sheet.parameter(name, mode, operand.source, operand.dtype, ["B", "H", row, "D"], [b, h, t, d]);
  };
  add("q", "Q", q, "in");
  add("k", "L", k, "in");
  add("v", "L", v, "in");
  add("out", "Q", task.output, "out");
  return sheet.finish("attention", (body) => {
    const { t } = body;
    const at = { B: t.each("B"), H: t.each("H"), Q: t.program("Q") };
    const queries = body.raw("q", at) as Tile<"f32", string>;
    const start = {
      max: t.full("f32", LOWEST, "Q") as Floats,
      sum: t.zeros("f32", "Q") as Floats,
      acc: t.zeros("f32", "Q", "D") as Floats,
    };
    const end = t.loop(
      "L",
      start,
      (col, s) => {
        const here = { B: at.B, H: at.H, L: col };
        const keys = body.raw("k", here) as Tile<"f32", string>;
        let scores = (t.dot(queries, keys, "D") as unknown as Floats).mul(scale * Math.LOG2E);
        if (causal) scores = scores.where(t.iota(col).le(t.iota(at.Q)), LOWEST);
        const max = s.max.maximum(scores.max("L") as unknown as Floats);
        const p = scores.sub(max).exp2();
        const decay = s.max.sub(max).exp2();
        const weights = p.to(q.dtype) as unknown as Tile<"f32", string>;
        const values = body.raw("v", here) as Tile<"f32", string>;
        return {
          max,
          sum: s.sum.mul(decay).add(p.sum("L") as unknown as Floats),
          acc: t.dot(weights, values, "L", s.acc.mul(decay) as never) as unknown as Floats,
        };
      },
      causal ? { to: t.end(at.Q) } : {},
    );
    body.store("out", at, end.acc.div(end.sum));
  });
}
