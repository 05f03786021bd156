// Filters of convolutions with their channels innermost, as tensor cores read them: a pack where they lie otherwise.
import type { Task } from "../../kernel/task.js";
import { filterPack, type HostPack } from "../native/host-pack.js";

type Four = readonly [number, number, number, number];

/** A convolution that reads packed filters; as it is, where one tap a filter or no weight leaves nothing to pack. */
export function withPackedFilters(task: Task): { readonly task: Task; readonly packs: readonly HostPack[] } {
  const [x, w, ...others] = task.inputs;
  const [O, C, R, S] = w!.shape as Four;
  const isWeight = w!.kind === "weight" || w!.kind === "constant";
  if (!isWeight || !("input" in w!.source) || R * S === 1) return { task, packs: [] };
  const turned = { ...w!, strides: [R * S * C, 1, S * C, C] };
  return { task: { ...task, inputs: [x!, turned, ...others] }, packs: [filterPack(w!.source.input, w!.dtype, [O, C, R, S])] }; // prettier-ignore
}
