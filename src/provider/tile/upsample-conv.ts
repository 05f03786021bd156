// A nearest upsampling by 2 and the 3×3 convolution that reads it as one region, by phases: where that is, its task, and
// the filters of all phases as a pack.
import { readElement, writeElement } from "../../core/dtype.js";
import { sizeOf } from "../../core/shape.js";
import type { Node, NodeId } from "../../graph/node.js";
import type { Region, Regions } from "../../graph/region.js";
import { phaseFilters, PHASES, SUMMED_TAPS } from "../../kernel/upsample-conv.js";
import type { Task } from "../../kernel/task.js";
import { chainPatterns, isView, onlyReader } from "../native/chain.js";
import type { HostPack } from "../native/host-pack.js";
import { isCannot, type Cannot } from "../provider.js";
import { begin, type Beginning } from "./begin.js";
import { isLink } from "./families.js";
import type { Variant } from "./space.js";

/** Each upsampling with its convolution, alone and with the pointwise ops that follow. */
export function* upsampleConvPatterns(regions: Regions): Generator<readonly NodeId[]> {
  for (const upsampling of regions.work) {
    const conv = upsampling.op === "upsample_nearest" && onlyReader(regions, upsampling.outputs[0]!);
    if (!conv || !reads(conv, upsampling) || reasonAgainst(regions.graph, upsampling, conv) !== undefined) continue;
    yield [upsampling.id, conv.id];
    for (const ids of chainPatterns(regions, (node) => node === conv, isLink)) yield [upsampling.id, ...ids];
  }
}

const reads = (conv: Node, { outputs: [large] }: Node): boolean => conv.op === "conv2d" && conv.inputs[0] === large;

function reasonAgainst({ values }: Region["graph"], upsampling: Node, conv: Node): string | undefined {
  const { stride, padding } = conv.params as { stride: number; padding: readonly number[] };
  const taps = values[conv.inputs[1]!]!.shape.slice(2);
  if (upsampling.params["factor"] !== 2) return `the picture is made ${upsampling.params["factor"]} times as large`;
  if (taps.some((size) => size !== 3) || stride !== 1 || padding.some((pixels) => pixels !== 1))
    return "the convolution of the doubled picture is not 3×3 with a stride and a padding of 1";
  return undefined;
}

/** The region's kernels by phases; undefined where it does not begin with an upsampling that a convolution reads. */
export function beginUpsampleConv(region: Region, variant: Variant): Beginning | Cannot | undefined {
  const [upsampling, conv] = region.nodes.filter((node) => !isView(node));
  if (upsampling?.op !== "upsample_nearest" || !conv || !reads(conv, upsampling)) return undefined;
  const reason = reasonAgainst(region.graph, upsampling, conv);
  if (reason !== undefined) return { cannot: reason };
  const [[small], [large]] = [upsampling.inputs, upsampling.outputs] as [[number], [number]];
  const isSeen = region.nodes.some((node) => node !== conv && node.inputs.includes(large)) || region.outputs.some(({ value }) => value === large); // prettier-ignore
  if (isSeen) return { cannot: "the doubled picture is read by others, too" };
  // As if the convolution read the small picture.
  const inputs = region.inputs.map((operand) => (operand.value === small ? { ...operand, value: large } : operand));
  const found = begin({ ...region, inputs, nodes: region.nodes.filter((node) => node !== upsampling) }, variant);
  if (isCannot(found)) return found;
  const { kind } = found.task.inputs[1]!;
  if (kind !== "weight" && kind !== "constant") return { cannot: "the filter is no weight, so its taps are not summed once" }; // prettier-ignore
  return { ...found, task: { ...found.task, doubles: true }, packs: [phasePack(found.task)] };
}

/** Filters [O, C, 3, 3] as those of the four phases: taps summed in f32 and rounded once. */
export function phasePack({ inputs }: Task): HostPack {
  const { source, dtype, shape } = inputs[1]!;
  const [O, C] = shape as readonly [number, number];
  return {
    input: (source as { readonly input: number }).input,
    recipe: "filters of four phases",
    dtype,
    from: sizeOf(shape),
    to: sizeOf(phaseFilters(shape)),
    make(old, young) {
      const from = new DataView(old.buffer, old.byteOffset, old.byteLength);
      const taps = new Float32Array(old.length);
      for (let i = 0; i < taps.length; i++) taps[i] = readElement(from, dtype, i);
      const to = new DataView(young.buffer, young.byteOffset, young.byteLength);
      let at = 0;
      for (const [row, column] of PHASES)
        for (let o = 0; o < O; o++)
          for (const rows of SUMMED_TAPS[row])
            for (const columns of SUMMED_TAPS[column])
              for (let c = 0; c < C; c++) {
                let sum = 0;
                for (const ky of rows)
                  for (const kx of columns) sum = Math.fround(sum + taps[((o * C + c) * 3 + ky) * 3 + kx]!);
                writeElement(to, dtype, at++, sum);
              }
    },
  };
}
