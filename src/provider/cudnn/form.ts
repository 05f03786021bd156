// Regions that cuDNN computes as one graph: attention without a mask, and convolutions on images whose channels lie
// innermost. A form makes the operations and says which operand each tensor of the graph is.
import type { DType } from "../../core/dtype.js";
import { denseStrides } from "../../core/shape.js";
import type { Operand, Region } from "../../graph/region.js";
import { chainOf, type Chain } from "../native/chain.js";
import { filterPack, type HostPack } from "../native/host-pack.js";
import { tidy } from "../native/strided.js";
import { isCannot, type Cannot, type Layout } from "../provider.js";
import type { Narrow } from "./narrow.js";
import { biasPack } from "./pack.js";
import { descriptors, dtypeAs, enumAs, float, longs, type BackendGraph } from "./graph.js";

const FLOAT = 0;
const TYPES: Partial<Record<DType, number>> = { f16: 2, bf16: 9 };
const KIND = { convolution: 1, convolutionForward: 10, pointwise: 0, pointwiseOperation: 13, attention: 41 } as const;
const CROSS_CORRELATION = 1;
const ADD = 0;

/** What the address of a tensor is. */
export type Role =
  | { readonly input: number }
  | { readonly packed: number }
  | { readonly output: 0 }
  /** The wide image in front of the library's own workspace. */
  | { readonly wide: true }
  | { readonly number: number };

export interface Form {
  readonly operations: (graph: BackendGraph) => readonly bigint[];
  /** By unique id, counted from 1. */
  readonly roles: readonly Role[];
  readonly layouts: { readonly inputs: readonly Layout[]; readonly outputs: readonly Layout[] };
  /** Weights that are kept in another form. */
  readonly packs: readonly HostPack[];
  /** The result goes through the workspace, with more channels than are wanted. */
  readonly narrow?: Narrow;
}

export function formOf(region: Region): Form | Cannot {
  const [output] = region.outputs as readonly [Operand];
  const odd = [...region.inputs, ...region.outputs].find(({ dtype }) => dtype !== output.dtype || TYPES[dtype] === undefined); // prettier-ignore
  if (odd) return { cannot: `cuDNN is used for bf16 and f16 here, not for ${odd.dtype}` };
  const empty = [...region.inputs, ...region.outputs].find(({ shape }) => shape.includes(0));
  if (empty) return { cannot: `an operand of shape [${empty.shape.join(", ")}] has no elements` };
  const chain = chainOf(region);
  if (isCannot(chain)) return chain;
  if (chain.head.op === "attention") return attentionForm(region, chain);
  if (chain.head.op === "conv2d") return convForm(region, chain);
  return { cannot: `cuDNN is used for attention and convolutions, not for ${chain.head.op}` };
}

function attentionForm(region: Region, { head, operands, links }: Chain): Form | Cannot {
  if (links.length > 0) return { cannot: `cuDNN applies no ${links[0]!.node.op} after attention` };
  if (operands.length > 3) return { cannot: "a bias is added to the scores" };
  const { scale, causal } = head.params as { scale: number; causal: boolean };
  if (causal) return { cannot: "this attention of cuDNN has no mask" };
  const [output] = region.outputs as readonly [Operand];
  const tensors = [...operands.map((index) => region.inputs[index]!), output];
  const depth = output.shape[3]!;
  if (depth % 8 !== 0 || depth > 256) return { cannot: `a depth of ${depth} is no multiple of 8 up to 256` };
  const apart = tensors.find(({ strides, alignmentBytes }) => strides[3] !== 1 || alignmentBytes < 16);
  if (apart) return { cannot: "an operand's rows do not start on 16 bytes" };
  const dtype = TYPES[output.dtype]!;
  const heads = ([b, t, h, d]: readonly number[]): number[] => [b!, h!, t!, d!];
  const operations = (graph: BackendGraph): readonly bigint[] => {
    const [q, k, v, o] = tensors.map(({ shape, strides }, i) =>
      graph.tensor({ uid: i + 1, dtype, dims: heads(shape), strides: heads(strides) }),
    );
    const one = [1, 1, 1, 1];
    const factor = graph.tensor({ uid: 5, dtype: FLOAT, dims: one, strides: one, isByValue: true, alignmentBytes: 4 });
    return [graph.make(KIND.attention, descriptors(2800, q!), descriptors(2801, k!), descriptors(2802, v!), descriptors(2803, o!), descriptors(2805, factor))]; // prettier-ignore
  };
  const inputs = operands.map((input): Role => ({ input }));
  return {
    operations,
    roles: [...inputs, { output: 0 }, { number: scale }],
    layouts: { inputs: region.inputs.map(() => undefined), outputs: [undefined] },
    packs: [],
  };
}

const CHANNELS_LAST = [0, 2, 3, 1];
type Four = readonly [number, number, number, number];

/** conv2d with its bias, and at most one sum with an image of the result's shape; of any number of filters without one. */
function convForm(region: Region, { head, operands, links }: Chain): Form | Cannot {
  const [xAt, wAt, biasAt] = operands as [number, number, number?];
  const [x, w] = [region.inputs[xAt]!, region.inputs[wAt]!];
  const [output] = region.outputs as readonly [Operand];
  const { stride, padding } = head.params as { stride: number; padding: Four };
  if (w.kind !== "weight" && w.kind !== "constant") return { cannot: "the filter is no weight" };
  const [link, ...more] = links;
  const residual = link?.other;
  if (link && (link.node.op !== "add" || residual === undefined || more.length > 0)) return { cannot: `cuDNN applies no ${link.node.op} here` }; // prettier-ignore
  if (residual !== undefined && region.inputs[residual]!.shape.join() !== output.shape.join())
    return { cannot: "what is added has another shape" };
  const [B, C, H, W] = x.shape as Four;
  const [O, , R, S] = w.shape as Four;
  const [, , P, Q] = output.shape as Four;
  const filters = Math.ceil(O / 8) * 8;
  const isNarrow = filters !== O;
  if (C % 8 !== 0 || (isNarrow && residual !== undefined))
    return { cannot: `${C} and ${O} channels are not multiples of 8` };
  const images = [xAt, ...(residual === undefined ? [] : [residual])];
  const fixed = [...images.map((index) => region.inputs[index]!), ...(isNarrow ? [] : [output])].find(
    ({ strides, shape, ...operand }) => (operand.fixed || operand.kind !== "activation") && !(strides[1] === 1 && shape[1]! > 1) && shape[2]! * shape[3]! > 1,
  ); // prettier-ignore
  if (fixed) return { cannot: "an image's channels do not lie innermost, and its layout is given" };
  const turn = (operand: Operand): Layout => operand.fixed || operand.kind !== "activation" ? undefined : CHANNELS_LAST; // prettier-ignore
  const stridesOf = (operand: Operand): readonly number[] => turn(operand) ? denseStrides(operand.shape, CHANNELS_LAST) : tidy(operand).strides; // prettier-ignore
  const dtype = TYPES[output.dtype]!;
  const bias = biasAt === undefined ? undefined : region.inputs[biasAt]!;
  if (isNarrow && bias && bias.kind !== "weight" && bias.kind !== "constant")
    return { cannot: "the bias is no weight" };
  if (bias && bias.strides[0] !== 1) return { cannot: "the bias lies apart" };
  const wide = [B, filters, P, Q];
  const result = { dims: wide, strides: isNarrow ? denseStrides(wide, CHANNELS_LAST) : stridesOf(output) };
  const roles: Role[] = [{ input: xAt }, { packed: wAt }, isNarrow ? { wide: true } : { output: 0 }];
  if (biasAt !== undefined) roles.push(isNarrow ? { packed: biasAt } : { input: biasAt });
  if (residual !== undefined) roles.push({ input: residual });
  const operations = (graph: BackendGraph): readonly bigint[] => {
    let uid = 100;
    const inner = (): bigint => graph.tensor({ uid: uid++, dtype: FLOAT, ...result, isVirtual: true });
    const image = graph.tensor({ uid: 1, dtype, dims: [B, C, H, W], strides: stridesOf(x) });
    const filter = graph.tensor({
      uid: 2,
      dtype,
      dims: [filters, C, R, S],
      strides: denseStrides([filters, C, R, S], CHANNELS_LAST),
    });
    const y = graph.tensor({ uid: 3, dtype, ...result });
    const addends = [
      ...(bias ? [graph.tensor({ uid: 4, dtype, dims: [1, filters, 1, 1], strides: [filters, 1, filters, filters] })] : []),
      ...(residual === undefined ? [] : [graph.tensor({ uid: bias ? 5 : 4, dtype, dims: result.dims, strides: stridesOf(region.inputs[residual]!) })]),
    ]; // prettier-ignore
    const convolution = graph.make(
      KIND.convolution, dtypeAs(100, FLOAT), enumAs(101, 7, CROSS_CORRELATION), longs(106, 2),
      longs(105, padding[0], padding[1]), longs(104, padding[2], padding[3]), longs(102, 1, 1), longs(103, stride, stride),
    ); // prettier-ignore
    let running = addends.length > 0 ? inner() : y;
    const made = [
      graph.make(KIND.convolutionForward, descriptors(704, image), descriptors(703, filter), descriptors(705, running), descriptors(702, convolution), float(700, 1), float(701, 0)),
    ]; // prettier-ignore
    addends.forEach((addend, i) => {
      const to = i === addends.length - 1 ? y : inner();
      const add = graph.make(KIND.pointwise, enumAs(0, 14, ADD), dtypeAs(1, FLOAT));
      made.push(graph.make(KIND.pointwiseOperation, descriptors(750, add), descriptors(751, running), descriptors(752, addend), descriptors(753, to), float(754, 1), float(755, 1))); // prettier-ignore
      running = to;
    });
    return made;
  };
  return {
    operations,
    roles,
    layouts: {
      inputs: region.inputs.map((operand, i) => (images.includes(i) ? turn(operand) : undefined)),
      outputs: [isNarrow ? undefined : turn(output)],
    },
    packs: [
      filterPack(wAt, w.dtype, w.shape as Four, filters),
      ...(isNarrow && biasAt !== undefined ? [biasPack(biasAt, bias!.dtype, O, filters)] : []),
    ],
    ...(isNarrow && { narrow: { channels: filters, wanted: O, size: [B, P, Q], strides: output.strides as Four } }),
  };
}
