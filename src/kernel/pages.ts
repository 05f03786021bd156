// The paged key-value cache: appending tokens at the slots their page table names, and attention over those pages.
// Lengths are each sequence's own; what lies beyond them is never read.
import type { Tile } from "../tile/index.js";
import { Sheet, type Floats, type Ints, type KernelForm } from "./sheet.js";
import type { Located, Task } from "./task.js";

type Four = readonly [number, number, number, number];
type Scalar = Tile<"i32", never>;

export function pageAppendForm(task: Task): KernelForm {
  const [cache, x, pages, lengths] = task.inputs as readonly [Located, Located, Located, Located];
  const [P, S, G, D] = cache.shape as Four;
  const [B, T] = x.shape as [number, number];
  const sheet = new Sheet();
  for (const [axis, size] of Object.entries({ B, T, G, D, J: pages.shape[1]!, Page: P, Slot: S }))
    sheet.axis(axis, size);
  sheet.parameter("x", "in", x.source, x.dtype, ["B", "T", "G", "D"], x.strides);
  sheet.parameter("pages", "in", pages.source, pages.dtype, ["B", "J"], pages.strides);
  sheet.parameter("lengths", "in", lengths.source, lengths.dtype, ["B"], lengths.strides);
  sheet.parameter("cache", "inout", task.output.source, cache.dtype, ["Page", "Slot", "G", "D"], cache.strides);
  return sheet.finish("page_append", (body) => {
    const { t } = body;
    const at = { B: t.each("B"), T: t.program("T") };
    const token = (t.iota(at.T) as Ints).add(body.ints("lengths", at));
    const entry = token.idiv(t.size("Slot"));
    const page = body.ints("pages", { ...at, J: t.gather("J", entry) }).where(entry.lt(t.size("J")) as never, -1);
    const to = { ...at, Page: t.gather("Page", page), Slot: t.gather("Slot", token.mod(t.size("Slot"))) };
    body.store("cache", to, body.floats("x", at));
  });
}

export function pagedAttentionForm(task: Task): KernelForm {
  const [q, keys, values, pages, lengths] = task.inputs as readonly [Located, Located, Located, Located, Located];
  const { scale, causal } = task.head.params as { scale: number; causal: boolean };
  const [B, T, H, D] = q.shape as Four;
  const [P, S, G] = keys.shape as Four;
  const R = H / G;
  const lowest = -1e30;
  const sheet = new Sheet();
  for (const [axis, size] of Object.entries({ B, T, G, R, D, J: pages.shape[1]!, Page: P, Slot: S }))
    sheet.axis(axis, size);
  const heads = ({ strides: [b, t, h, d] }: Located): number[] => [b!, t!, h! * R, h!, d!];
  sheet.parameter("q", "in", q.source, q.dtype, ["B", "T", "G", "R", "D"], heads(q));
  sheet.parameter("keys", "in", keys.source, keys.dtype, ["Page", "Slot", "G", "D"], keys.strides);
  sheet.parameter("values", "in", values.source, values.dtype, ["Page", "Slot", "G", "D"], values.strides);
  sheet.parameter("pages", "in", pages.source, pages.dtype, ["B", "J"], pages.strides);
  sheet.parameter("lengths", "in", lengths.source, lengths.dtype, ["B"], lengths.strides);
  sheet.parameter("out", "out", task.output.source, task.output.dtype, ["B", "T", "G", "R", "D"], heads(task.output));
  return sheet.finish("paged_attention", (body) => {
    const { t } = body;
    const at = { B: t.each("B"), G: t.each("G"), T: t.program("T") };
    const queries = body.raw("q", at) as Tile<"f32", string>;
    const tokens = body.ints("lengths", at) as unknown as Scalar;
    const used = tokens.add(S - 1).idiv(S);
    const start = {
      max: t.full("f32", lowest, "T", "R") as Floats,
      sum: t.zeros("f32", "T", "R") as Floats,
      acc: t.zeros("f32", "T", "R", "D") as Floats,
    };
    const end = t.loopEach(
      "J",
      start,
      (j, outer) => {
        const first = t.iota(j).mul(S);
        const page = t.point("Page", body.ints("pages", { ...at, J: j }) as unknown as Scalar);
        return t.loop(
          "Slot",
          outer,
          (slot, s) => {
            const here = { ...at, Page: page, Slot: slot };
            let scores = (t.dot(queries, body.raw("keys", here) as Tile<"f32", string>, "D") as unknown as Floats).mul(scale * Math.LOG2E); // prettier-ignore
            if (causal) {
              // Query i of T sees keys up to length − T + i.
              const position = (t.iota(slot) as Ints)
                .add(first as unknown as Ints)
                .sub(tokens as unknown as Ints)
                .add(T);
              scores = scores.where(position.le(t.iota(at.T) as Ints), lowest);
            }
            const max = s.max.maximum(scores.max("Slot") as unknown as Floats);
            const p = scores.sub(max).exp2();
            const decay = s.max.sub(max).exp2();
            const weights = p.to(q.dtype) as unknown as Tile<"f32", string>;
            return {
              max,
              sum: s.sum.mul(decay).add(p.sum("Slot") as unknown as Floats),
              acc: t.dot(weights, body.raw("values", here) as Tile<"f32", string>, "Slot", s.acc.mul(decay) as never) as unknown as Floats, // prettier-ignore
            };
          },
          { to: tokens.sub(first) },
        );
      },
      { to: used },
    );
    const seen = end.max.gt(lowest / 2);
    body.store("out", at, end.acc.div(end.sum.maximum(1e-30)).where(seen, 0));
  });
}
