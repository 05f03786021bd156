// Pointwise ops on their own: a function of one tensor or an operation of two, with what follows as post-ops; copies
// and casts as reorders.
import { denseStrides, isContiguous, sameShape, sizeOf } from "../../core/shape.js";
import type { Params } from "../../graph/node.js";
import type { Operand, Region } from "../../graph/region.js";
import { chainOf } from "../native/chain.js";
import { asBroadcastMatrix, padded, tidy, type Strided } from "../native/strided.js";
import { isCannot, type Cannot } from "../provider.js";
import type { OneDnn } from "./binding.js";
import { ARG } from "./constants.js";
import { copyUnlessAlike } from "./copy.js";
import { tensorOf, type Form } from "./form.js";
import { binaryOf, eltwiseOf, postOpsOf, type Spread } from "./postop.js";

/** Views of all tensors of a pointwise region: one long row, else rows and columns, else dim by dim. */
function viewsOf(region: Region): { readonly of: (operand: Operand) => Strided; readonly spread: Spread } {
  const out = region.outputs[0]!;
  const all = [...region.inputs, out];
  const size = sizeOf(out.shape);
  const row: Strided = { shape: [1, size], strides: [size, 1] };
  if (all.every((o) => sameShape(o.shape, out.shape) && isContiguous(o.shape, o.strides))) {
    return { of: () => row, spread: () => row };
  }
  const matrices = new Map(all.map((operand) => [operand, asBroadcastMatrix(operand, out.shape)]));
  if ([...matrices.values()].every((matrix) => matrix !== undefined)) {
    return { of: (operand) => matrices.get(operand)!, spread: (operand) => matrices.get(operand) };
  }
  const rank = Math.max(2, out.shape.length);
  return { of: (operand) => padded(operand, rank), spread: (operand) => padded(operand, rank) };
}

const inPlace = (x: Operand, y: Operand): boolean =>
  x.dtype === y.dtype && sameShape(x.shape, y.shape) && sameShape(x.strides, y.strides);

const CHANNELS_LAST = [0, 2, 3, 1];

/** Images whose layouts are free are taken channels last as well: the elements are the same in any order. */
export function pointwiseVariants(region: Region): readonly Params[] {
  const [out] = region.outputs as [Operand];
  const free = [...region.inputs, out].every((o) => !o.fixed && sameShape(o.shape, out.shape));
  return out.shape.length === 4 && free ? [{}, { layout: "nhwc" }] : [{}];
}

const layoutsOf = (region: Region, params: Params): Pick<Form, "inputLayouts" | "outputLayouts"> =>
  params.layout === "nhwc"
    ? { inputLayouts: region.inputs.map(() => CHANNELS_LAST), outputLayouts: [CHANNELS_LAST] }
    : {};

const withLayout = (id: string, params: Params): string => (params.layout ? `${id} ${String(params.layout)}` : id);

/** A function of one tensor; post-ops would leave only the reference implementation. */
export function makeEltwise(dnn: OneDnn, region: Region, params: Params): Form | Cannot {
  if (region.nodes.length > 1) return { cannot: "oneDNN applies a function alone, without what follows" };
  const views = viewsOf(region);
  const [x, y] = [region.inputs[0]!, region.outputs[0]!];
  const [from, to] = [tensorOf(x, views.of(x)), tensorOf(y, views.of(y))];
  const primitive = dnn.eltwise({ data: to, ...eltwiseOf(region.nodes[0]!)! });
  if (isCannot(primitive)) return primitive;
  const start = copyUnlessAlike(dnn, from, to, 0);
  if (isCannot(start)) return start;
  return {
    id: withLayout("eltwise", params),
    params,
    ...layoutsOf(region, params),
    aliases: inPlace(x, y) ? [{ output: 0, input: 0 }] : [],
    stages: [
      ...start.stages,
      { name: region.nodes[0]!.op, primitive, args: [[ARG.src, start.place], [ARG.dst, { output: 0 }]] },
    ], // prettier-ignore
  };
}

export function makeBinary(dnn: OneDnn, region: Region, params: Params): Form | Cannot {
  const chain = chainOf(region);
  if (isCannot(chain)) return chain;
  const views = viewsOf(region);
  const y = region.outputs[0]!;
  // oneDNN's first operand has the result's shape; only the second may be smaller.
  const headShape = region.graph.values[chain.head.outputs[0]!]!.shape;
  const first = chain.operands.findIndex((index) => sameShape(region.inputs[index]!.shape, headShape));
  if (first < 0) return { cannot: "oneDNN broadcasts one operand of two, not both" };
  const name = binaryOf(chain.head, first);
  if (!name) return { cannot: `oneDNN cannot broadcast the first operand of ${chain.head.op}` };
  const [a, b] = [chain.operands[first]!, chain.operands[1 - first]!];
  const post = postOpsOf(region, chain, views.spread, false);
  if (isCannot(post)) return post;
  const primitive = dnn.binary({
    src: tensorOf(region.inputs[a]!, views.of(region.inputs[a]!)),
    src1: tensorOf(region.inputs[b]!, views.of(region.inputs[b]!)),
    dst: tensorOf(y, views.of(y)),
    function: name,
    postOps: post.list,
  });
  if (isCannot(primitive)) return primitive;
  return {
    id: withLayout("binary", params),
    params,
    ...layoutsOf(region, params),
    aliases: inPlace(region.inputs[a]!, y) && a !== b ? [{ output: 0, input: a }] : [],
    stages: [
      { name: chain.head.op, primitive, args: [[ARG.src, { input: a }], [ARG.src1, { input: b }], [ARG.dst, { output: 0 }], ...post.args] },
    ], // prettier-ignore
  };
}

/** copy and cast: the same numbers elsewhere, in another dtype or layout. */
export function makeReorder(dnn: OneDnn, region: Region, params: Params): Form | Cannot {
  if (region.nodes.length > 1) return { cannot: "oneDNN copies alone, without what follows" };
  const [x, y] = [region.inputs[0]!, region.outputs[0]!];
  const primitive = dnn.reorder(tensorOf(x, tidy(x)), tensorOf(y, tidy(y)));
  if (isCannot(primitive)) return primitive;
  return {
    id: "reorder",
    params,
    stages: [{ name: region.nodes[0]!.op, primitive, args: [[ARG.src, { input: 0 }], [ARG.dst, { output: 0 }]] }], // prettier-ignore
  };
}

export function upsampleVariants(region: Region): readonly Params[] {
  return region.inputs[0]!.fixed || region.outputs[0]!.fixed ? [{}] : [{}, { layout: "nhwc" }];
}

export function makeUpsample(dnn: OneDnn, region: Region, params: Params): Form | Cannot {
  if (region.nodes.length > 1) return { cannot: "oneDNN upsamples alone, without what follows" };
  const lying = (operand: Operand): Strided =>
    params.layout === "nhwc"
      ? { shape: operand.shape, strides: denseStrides(operand.shape, CHANNELS_LAST) }
      : tidy(operand);
  const [x, y] = [region.inputs[0]!, region.outputs[0]!];
  const primitive = dnn.upsampleNearest({ src: tensorOf(x, lying(x)), dst: tensorOf(y, lying(y)) });
  if (isCannot(primitive)) return primitive;
  return {
    id: withLayout("resampling", params),
    params,
    ...layoutsOf(region, params),
    stages: [{ name: "upsample", primitive, args: [[ARG.src, { input: 0 }], [ARG.dst, { output: 0 }]] }], // prettier-ignore
  };
}
