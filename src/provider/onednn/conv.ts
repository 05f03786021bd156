// Convolutions: channels first or last on either side, or oneDNN's own blocked layout between two reorders.
// Weights are packed once; pointwise ops that follow become post-ops.
import { denseStrides, sameShape } from "../../core/shape.js";
import type { Params } from "../../graph/node.js";
import type { Operand, Region } from "../../graph/region.js";
import { chainOf, type Chain } from "../native/chain.js";
import { padded, tidy, type Strided } from "../native/strided.js";
import { isCannot, type Cannot, type Layout } from "../provider.js";
import type { OneDnn, Primitive, Tensor } from "./binding.js";
import { ARG } from "./constants.js";
import { packWeights, tensorOf, type Form, type Place, type Stage } from "./form.js";
import { endsInSum, postOpsOf } from "./postop.js";

type Order = "given" | "nchw" | "nhwc";
const ORDERS: Readonly<Record<Order, Layout>> = { given: undefined, nchw: [0, 1, 2, 3], nhwc: [0, 2, 3, 1] };

/** Layouts an operand may be asked for in: one that is fixed stays as it lies. */
const ordersOf = ({ fixed }: Operand): readonly Order[] => (fixed ? ["given"] : ["nchw", "nhwc"]);

export function convVariants(region: Region): readonly Params[] {
  const chain = chainOf(region);
  if (isCannot(chain)) return [{}]; // the maker has the reason
  const [x, out] = [region.inputs[chain.operands[0]!]!, region.outputs[0]!];
  const pairs = ordersOf(x)
    .flatMap((src) => ordersOf(out).map((dst) => ({ src, dst })))
    .toSorted((a, b) => Number(b.src === b.dst) - Number(a.src === a.dst));
  const direct = pairs.flatMap(({ src, dst }) => {
    const sums = endsInSum(region, chain.links) ? [true, false] : [false];
    return sums.map((sum) => ({ kind: "direct", src, dst, sum }));
  });
  return [...direct, { kind: "blocked", src: "given", dst: "given", sum: false }];
}

/** Strides of a four-dim operand in an order. */
const laid = (operand: Operand, order: Layout): Strided =>
  order ? { shape: operand.shape, strides: denseStrides(operand.shape, order) } : tidy(operand);

export function makeConv(dnn: OneDnn, region: Region, params: Params): Form | Cannot {
  const chain = chainOf(region);
  if (isCannot(chain)) return chain;
  const [srcOrder, dstOrder] = [ORDERS[params.src as Order], ORDERS[params.dst as Order]];
  const out = region.outputs[0]!;
  const [x, w, b] = chain.operands.map((index) => region.inputs[index]!) as [Operand, Operand, Operand?];
  if (w.kind === "activation") return { cannot: "convolution weights that change between runs are not packed" };
  const blocked = params.kind === "blocked";
  const residual = params.sum ? chain.links.at(-1)!.other! : undefined;
  if (residual !== undefined && dstOrder && region.inputs[residual]!.fixed) {
    return { cannot: "the residual's layout is fixed and not the result's" };
  }
  const spread = (operand: Operand): Strided => (follows(operand, out) ? laid(operand, dstOrder) : padded(operand, 4));
  const post = postOpsOf(region, chain, spread, residual !== undefined);
  if (isCannot(post)) return post;
  if (blocked && post.list.some(({ kind }) => kind !== "eltwise")) {
    return { cannot: "the blocked layout of the result is not known to other operands" };
  }
  const [src, dst] = [tensorOf(x, laid(x, srcOrder)), tensorOf(out, laid(out, dstOrder))];
  const { stride, padding } = chain.head.params as {
    stride: number;
    padding: readonly [number, number, number, number];
  };
  const weights = tensorOf(w, tidy(w));
  const primitive = dnn.convolution({
    src: blocked ? { ...src, strides: "any" } : src,
    weights: { ...weights, strides: "any" },
    ...(b ? { bias: tensorOf(b, tidy(b)) } : {}),
    dst: blocked ? { ...dst, strides: "any" } : dst,
    strides: [stride, stride],
    padding: { low: [padding[0], padding[1]], high: endPadding(region, chain) },
    algorithm: "direct",
    postOps: post.list,
  });
  if (isCannot(primitive)) return primitive;
  const args: (readonly [number, Place])[] = [[ARG.weights, { input: chain.operands[1]! }], ...post.args];
  if (b) args.push([ARG.bias, { input: chain.operands[2]! }]);
  const shared = { params, packings: [packWeights(chain.operands[1]!, weights, primitive)] };
  if (blocked) {
    const stages = blockedStages(dnn, primitive, src, dst, chain, args);
    return isCannot(stages) ? stages : { ...shared, id: "conv blocked", ...stages };
  }
  args.push([ARG.src, { input: chain.operands[0]! }], [ARG.dst, { output: 0 }]);
  return {
    ...shared,
    id: `conv ${params.src}→${params.dst}${params.sum ? " sum" : ""}`,
    inputLayouts: region.inputs.map((operand, index) => {
      if (index === chain.operands[0]) return srcOrder;
      return chain.links.some((link) => link.other === index) && follows(operand, out) ? dstOrder : undefined;
    }),
    outputLayouts: [dstOrder],
    ...(post.startsAs === undefined ? {} : { startsAs: post.startsAs, aliases: [{ output: 0, input: post.startsAs }] }),
    stages: [{ name: "conv", primitive, args }],
  };
}

/** Whether an operand may be asked for in the layout of the result. */
const follows = (operand: Operand, out: Operand): boolean => !operand.fixed && sameShape(operand.shape, out.shape);

/** oneDNN wants the padding that the result uses, not the rows and columns that the stride leaves over. */
function endPadding(region: Region, chain: Chain): readonly [number, number] {
  const shape = (index: number): readonly number[] => region.inputs[chain.operands[index]!]!.shape;
  const [x, w, y] = [shape(0), shape(1), region.graph.values[chain.head.outputs[0]!]!.shape];
  const { stride, padding } = chain.head.params as { stride: number; padding: readonly number[] };
  const end = (d: 2 | 3): number => (y[d]! - 1) * stride + w[d]! - x[d]! - padding[d - 2]!;
  return [end(2), end(3)];
}

/** Reorder, convolve in the layouts that the primitive chose, reorder back. */
function blockedStages(
  dnn: OneDnn,
  primitive: Primitive,
  src: Tensor,
  dst: Tensor,
  chain: Chain,
  args: readonly (readonly [number, Place])[],
): Pick<Form, "stages" | "temporaryBytes"> | Cannot {
  const [into, from] = [primitive.packed("src"), primitive.packed("dst")];
  const first = dnn.reorder(src, into);
  if (isCannot(first)) return first;
  const last = dnn.reorder(from, dst);
  if (isCannot(last)) return last;
  const stages: Stage[] = [
    { name: "reorder", primitive: first, args: [[ARG.src, { input: chain.operands[0]! }], [ARG.dst, { temporary: 0 }]] },
    { name: "conv", primitive, args: [...args, [ARG.src, { temporary: 0 }], [ARG.dst, { temporary: 1 }]] },
    { name: "reorder", primitive: last, args: [[ARG.src, { temporary: 1 }], [ARG.dst, { output: 0 }]] },
  ]; // prettier-ignore
  return { stages, temporaryBytes: [into.bytes, from.bytes] };
}
