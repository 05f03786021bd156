// Softmax and norms. A layer norm has one layout for source and result, so a strided source is copied into the result
// first. A group norm is a layer norm over each group's elements, then a product and a sum per channel.
import { isContiguous, sameShape, sizeOf } from "../../core/shape.js";
import type { Params } from "../../graph/node.js";
import type { Operand, Region } from "../../graph/region.js";
import { chainOf } from "../native/chain.js";
import { asMatrix, padded, tidy, type Strided } from "../native/strided.js";
import { isCannot, type Cannot } from "../provider.js";
import type { OneDnn, PostOp, Tensor } from "./binding.js";
import { ARG, postOpArg } from "./constants.js";
import { copyUnlessAlike } from "./copy.js";
import { packF32, tensorOf, type Form, type Packing, type Place } from "./form.js";
import { postOpsOf } from "./postop.js";

const alone = (region: Region): Cannot | undefined =>
  region.nodes.length > 1 ? { cannot: `oneDNN does ${region.nodes[0]?.op} alone, without what follows` } : undefined;

export function makeSoftmax(dnn: OneDnn, region: Region, params: Params): Form | Cannot {
  const extra = alone(region);
  if (extra) return extra;
  const [x, y] = [region.inputs[0]!, region.outputs[0]!];
  const [src, dst] = pair(x, y);
  const primitive = dnn.softmax({ src, dst, axis: src.dims.length - 1 });
  if (isCannot(primitive)) return primitive;
  return {
    id: "softmax",
    params,
    aliases: sameShape(x.strides, y.strides) ? [{ output: 0, input: 0 }] : [],
    stages: [{ name: "softmax", primitive, args: [[ARG.src, { input: 0 }], [ARG.dst, { output: 0 }]] }], // prettier-ignore
  };
}

export function makeLayerNorm(dnn: OneDnn, region: Region, params: Params): Form | Cannot {
  const extra = alone(region);
  if (extra) return extra;
  const node = region.nodes[0]!;
  const [xAt, wAt, bAt] = node.inputs.map((value) => region.inputs.findIndex((input) => input.value === value));
  const [x, y] = [region.inputs[xAt!]!, region.outputs[0]!];
  const affine = wAt !== undefined;
  const [src, data] = pair(x, y);
  const primitive = dnn.layerNorm({ data, epsilon: Number(node.params.eps), scale: affine, shift: affine });
  if (isCannot(primitive)) return primitive;
  const start = copyUnlessAlike(dnn, src, data, xAt!);
  if (isCannot(start)) return start;
  const packings: Packing[] = [];
  const args: (readonly [number, Place])[] = [[ARG.src, start.place], [ARG.dst, { output: 0 }]]; // prettier-ignore
  for (const [argument, index] of affine
    ? ([
        [ARG.scale, wAt],
        [ARG.shift, bAt!],
      ] as const)
    : []) {
    const vector = region.inputs[index]!;
    if (vector.dtype !== "f32" && vector.kind !== "weight") return { cannot: "scale and shift of a oneDNN layer norm must be f32" }; // prettier-ignore
    if (vector.dtype !== "f32") packings.push(packF32(index, tensorOf(vector)));
    args.push([argument, { input: index }]);
  }
  return {
    id: "layer norm",
    params,
    packings,
    aliases: start.stages.length === 0 ? [{ output: 0, input: xAt! }] : [],
    stages: [...start.stages, { name: "layer_norm", primitive, args }],
  };
}

export function makeGroupNorm(dnn: OneDnn, region: Region, params: Params): Form | Cannot {
  const chain = chainOf(region);
  if (isCannot(chain)) return chain;
  const { groups, eps } = chain.head.params as { groups: number; eps: number };
  const [xAt, wAt, bAt] = chain.operands as [number, number, number];
  const [x, w, b] = [region.inputs[xAt]!, region.inputs[wAt]!, region.inputs[bAt]!];
  const y = region.outputs[0]!;
  if (!isContiguous(y.shape, y.strides)) return { cannot: "the groups of the result do not lie together in memory" };
  const [B, C] = x.shape as [number, number];
  const count = sizeOf(x.shape) / (B * groups);
  const rows: Tensor = { dims: [B * groups, count], strides: [count, 1], dtype: tensorOf(x).dtype };
  const norm = dnn.layerNorm({ data: rows, epsilon: eps, scale: false, shift: false });
  if (isCannot(norm)) return norm;
  const start = copyUnlessAlike(dnn, tensorOf(x, tidy(x)), tensorOf(y, tidy(y)), xAt);
  if (isCannot(start)) return start;
  // Over one pixel, oneDNN 2.6 takes an added vector of channels for a scalar unless the dims of 1 are left out.
  const rank = x.shape[2]! * x.shape[3]! === 1 ? 2 : 4;
  const seen = ({ shape, strides }: Strided): Strided => ({
    shape: shape.slice(0, rank),
    strides: strides.slice(0, rank),
  });
  const channels = (vector: Operand): Tensor =>
    tensorOf(vector, seen(tidy({ shape: [1, C, 1, 1], strides: [C, 1, 1, 1] })));
  const post = postOpsOf(region, chain, (operand) => seen(padded(operand, 4)), false);
  if (isCannot(post)) return post;
  const shift: PostOp = { kind: "binary", function: "add", with: channels(b) };
  const image = tensorOf(y, seen(tidy(y)));
  const affine = dnn.binary({
    src: image,
    src1: channels(w),
    dst: image,
    function: "mul",
    postOps: [shift, ...post.list],
  });
  if (isCannot(affine)) return affine;
  const later = post.args.map(([argument, place]) => [argument + postOpArg(0) - ARG.src1, place] as const);
  const args: (readonly [number, Place])[] = [
    [ARG.src, { output: 0 }], [ARG.src1, { input: wAt }], [ARG.dst, { output: 0 }], [postOpArg(0), { input: bAt }], ...later,
  ]; // prettier-ignore
  return {
    id: "group norm in two",
    params,
    aliases: start.stages.length === 0 ? [{ output: 0, input: xAt }] : [],
    stages: [
      ...start.stages,
      { name: "layer_norm", primitive: norm, args: [[ARG.src, start.place], [ARG.dst, { output: 0 }]] },
      { name: "channel scale", primitive: affine, args },
    ], // prettier-ignore
  };
}

/** Source and result with rows merged where both allow it. */
function pair(x: Operand, y: Operand): readonly [Tensor, Tensor] {
  const [from, to] = [asMatrix(x), asMatrix(y)];
  return from && to ? [tensorOf(x, from), tensorOf(y, to)] : [tensorOf(x, tidy(x)), tensorOf(y, tidy(y))];
}
