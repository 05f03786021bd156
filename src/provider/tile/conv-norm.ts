// A convolution, the pointwise ops behind it and the group norm of that as one region, whether others read the picture
// between them, too, or not: where that is, and its task.
import { contiguous, sizeOf } from "../../core/shape.js";
import type { Node, NodeId } from "../../graph/node.js";
import type { Operand, Region, Regions } from "../../graph/region.js";
import { GROUP_WIDTHS } from "../../render/cuda/moments.js";
import { chainPatterns, isView, onlyReader } from "../native/chain.js";
import { isCannot, type Cannot } from "../provider.js";
import { begin, type Beginning } from "./begin.js";
import { isLink } from "./families.js";
import type { Variant } from "./space.js";
import { beginUpsampleConv } from "./upsample-conv.js";

/** Each convolution up to a group norm of its result, with the upsampling that it alone reads, too; and with what follows the norm. */
export function* convNormPatterns(regions: Regions): Generator<readonly NodeId[]> {
  for (const conv of regions.work) {
    if (conv.op !== "conv2d" || conv.params["stride"] !== 1) continue;
    const upsampling = regions.writers.get(conv.inputs[0]!);
    const isAlone = upsampling?.op === "upsample_nearest" && onlyReader(regions, conv.inputs[0]!) === conv;
    for (const ids of upToNorm(regions, conv)) {
      yield ids;
      if (isAlone) yield [upsampling.id, ...ids];
    }
  }
}

function* upToNorm(regions: Regions, conv: Node): Generator<readonly NodeId[]> {
  const ids: NodeId[] = [];
  for (let node: Node | undefined = conv; node && (node === conv || isLink(node));) {
    ids.push(node.id);
    const picture: number = node.outputs[0]!;
    const norm = regions.readers.get(picture)?.find(({ op, inputs }) => op === "group_norm" && inputs[0] === picture);
    if (norm && reasonAgainst(regions.graph, norm) === undefined) {
      yield [...ids, norm.id];
      for (const more of chainPatterns(regions, (other) => other === norm, isLink)) yield [...ids, ...more];
    }
    node = norm ? undefined : onlyReader(regions, picture);
  }
}

function reasonAgainst({ values }: Region["graph"], norm: Node): string | undefined {
  const { dtype, shape } = values[norm.inputs[0]!]!;
  const width = shape[1]! / Number(norm.params["groups"]);
  if (dtype !== "bf16" && dtype !== "f16") return `tensor cores make no pictures of ${dtype}`;
  return GROUP_WIDTHS.includes(width) ? undefined : `groups of ${width} channels are no ${GROUP_WIDTHS.join(", ")}`;
}

/** The region's kernels; undefined where it is no convolution with a group norm behind it. */
export function beginConvNorm(region: Region, variant: Variant): Beginning | Cannot | undefined {
  const { graph, nodes, inputs, outputs } = region;
  const place = nodes.findIndex(({ op }) => op === "group_norm");
  const norm = nodes[place];
  if (!norm || !nodes.slice(0, place).some(({ op }) => op === "conv2d")) return undefined;
  const reason = reasonAgainst(graph, norm);
  if (reason !== undefined) return { cannot: reason };
  if (nodes.some(isView)) return { cannot: "a convolution and its group norm have views between them" };
  const picture = outputs.findIndex(({ value }) => value === norm.inputs[0]);
  const between = outputs[picture] ?? unseen(region, norm.inputs[0]!);
  const conv = { ...region, nodes: nodes.slice(0, place), outputs: [between] };
  const first = beginUpsampleConv(conv, variant) ?? begin(conv, variant);
  if (isCannot(first)) return first;
  // The picture is one more input, so that the others keep their places.
  const last = outputs.filter((operand) => operand !== between);
  const second = begin({ ...region, nodes: nodes.slice(place), inputs: [...inputs, between], outputs: last }, variant);
  if (isCannot(second)) return second;
  const elements = sizeOf(between.shape);
  const output = {
    ...first.task.output,
    source: picture < 0 ? { temporary: "picture", elements } : { output: picture },
  };
  const [, ...weights] = second.task.inputs;
  const normed = { ...second.task.output, source: { output: outputs.indexOf(last[0]!) } };
  return {
    ...first,
    task: { ...first.task, output, norm: { ...second.task, inputs: [output, ...weights], output: normed } },
    layouts: {
      inputs: inputs.map((_, i) => first.layouts.inputs[i] ?? second.layouts.inputs[i]),
      outputs: outputs.map((operand) => (operand === between ? first : second).layouts.outputs[0]),
    },
  }; // prettier-ignore
}

/** A value that nobody outside sees, as an operand. */
function unseen({ graph }: Region, value: number): Operand {
  const { dtype, shape } = graph.values[value]!;
  return { dtype, shape, value, strides: contiguous(shape), alignmentBytes: 64, kind: "activation", fixed: false };
}
