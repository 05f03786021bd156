// A region as a task for one of our kernels: a head op, the pointwise ops that follow, and operands with strides.
import { denseStrides, sameShape } from "../../core/shape.js";
import type { Operand, Region } from "../../graph/region.js";
import { opOf } from "../../graph/ops.js";
import type { Located, Task, TaskLink } from "../../kernel/task.js";
import type { Source } from "../../kernel/sheet.js";
import { chainOf, isView } from "../native/chain.js";
import { isCannot, type Candidate, type Cannot, type Layout } from "../provider.js";

type Layouts = Candidate["layouts"];

const located = (operand: Operand, source: Source, layout: Layout): Located => ({
  source,
  dtype: operand.dtype,
  shape: operand.shape,
  strides: layout ? denseStrides(operand.shape, layout) : operand.strides,
  kind: operand.kind,
});

/** The task, with operands lying as `layouts` says. */
export function taskOf(region: Region, layouts: Layouts): Task | Cannot {
  const chain = chainOf(region);
  if (isCannot(chain)) return chain;
  const empty = [...region.inputs, ...region.outputs].find((operand) => operand.shape.includes(0));
  if (empty) return { cannot: `an operand of shape [${empty.shape.join(", ")}] has no elements` };
  const { values } = region.graph;
  const shape = values[chain.head.outputs[0]!]!.shape;
  const output = region.outputs[0]!;
  const reshaped = chain.links.some(({ node }) => !sameShape(values[node.outputs[0]!]!.shape, shape));
  if (reshaped || !sameShape(output.shape, shape) || (chain.links.length === 0 && region.nodes.some(isView)))
    return { cannot: "the result is reshaped inside the region" };
  const input = (index: number): Located => located(region.inputs[index]!, { input: index }, layouts.inputs[index]);
  return {
    head: chain.head,
    inputs: chain.operands.map(input),
    links: chain.links.map(({ node, at, other }): TaskLink => {
      const expression = opOf(node).expression!(node.params);
      return { expression, at, other: other === undefined ? null : input(other) };
    }),
    output: located(output, { output: 0 }, layouts.outputs[0]),
  };
}

export const asTheyLie = (region: Region): Layouts => ({
  inputs: region.inputs.map(() => undefined),
  outputs: region.outputs.map(() => undefined),
});

const CHANNELS_LAST = [0, 2, 3, 1];

/** Images with their channels innermost, wherever their layout is free; undefined where no image's is. */
export function channelsLast(region: Region): Layouts | undefined {
  const turn = (operand: Operand): Layout =>
    operand.shape.length === 4 && operand.kind === "activation" && !operand.fixed ? CHANNELS_LAST : undefined;
  const layouts = { inputs: region.inputs.map(turn), outputs: region.outputs.map(turn) };
  return [...layouts.inputs, ...layouts.outputs].some((layout) => layout) ? layouts : undefined;
}
