// The paged key-value cache: appending tokens at the slots that their page table names.
import { Sheet, type Ints, type KernelForm } from "./sheet.js";
import type { Located, Task } from "./task.js";

type Four = readonly [number, number, number, number];

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
