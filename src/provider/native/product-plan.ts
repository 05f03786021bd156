// A region as matrix products of a library that knows no more than these: which matrices lie where, how often, and what
// the result starts as. A residual is what the result holds before.
import type { DType } from "../../core/dtype.js";
import { denseStrides, reshapeStrides, sameShape, sizeOf, type Shape, type Strides } from "../../core/shape.js";
import type { Params } from "../../graph/node.js";
import type { Operand, Region } from "../../graph/region.js";
import { chainOf, type Chain } from "./chain.js";
import { asMatrix, permuted, type Strided } from "./strided.js";
import { isCannot, type Cannot, type Layout } from "../provider.js";

/** A matrix inside an operand; strides and offset count elements. */
export interface MatrixView {
  readonly offset: number;
  readonly rowStride: number;
  readonly columnStride: number;
}

export interface ProductPlan {
  readonly m: number;
  readonly n: number;
  readonly k: number;
  /** Region inputs that the left and the right matrices are in. */
  readonly left: number;
  readonly right: number;
  readonly batches: readonly { readonly a: MatrixView; readonly b: MatrixView; readonly c: MatrixView }[];
  readonly alpha: number;
  /** A vector added to every row (of n) or every column (of m). */
  readonly bias?: { readonly input: number; readonly over: "rows" | "columns" };
  /** Input that lies exactly like the result and is added to it. */
  readonly residual?: number;
  readonly layouts: { readonly inputs: readonly Layout[]; readonly outputs: readonly Layout[] };
}

/** Whose products they are. */
export interface ProductLibrary {
  /** For messages. */
  readonly name: string;
  /** All operands of a product have the same one of these. */
  readonly dtypes: readonly DType[];
}

/** More products than this in one region are no work for a library. */
const MOST_BATCHES = 4096;

/** `params.layout` "nhwc" has images with their channels last. */
export function planOf({ name, dtypes }: ProductLibrary, region: Region, params: Params): ProductPlan | Cannot {
  const operands = [...region.inputs, ...region.outputs];
  const odd = operands.find(({ dtype }) => !dtypes.includes(dtype) || dtype !== operands[0]!.dtype);
  if (odd) return { cannot: `${name} multiplies ${dtypes.join(" or ")} here, not ${odd.dtype}` };
  const chain = chainOf(region);
  if (isCannot(chain)) return chain;
  const after = afterOf(name, region, chain);
  if (isCannot(after)) return after;
  const plan = headPlan(name, region, chain, params.layout === "nhwc" ? [0, 2, 3, 1] : undefined);
  if (isCannot(plan)) return plan;
  if (plan.batches.length > MOST_BATCHES)
    return { cannot: `${plan.batches.length} small products are no work for ${name}` };
  if (after.residual !== undefined && plan.layouts.outputs[0] && region.inputs[after.residual]!.fixed) {
    return { cannot: "the residual's layout is fixed and not the result's" };
  }
  const inputs = plan.layouts.inputs.map((layout, i) => (i === after.residual ? plan.layouts.outputs[0] : layout));
  return { ...plan, ...after, layouts: { ...plan.layouts, inputs } };
}

type Head = Omit<ProductPlan, "alpha">;

function headPlan(name: string, region: Region, chain: Chain, order: Layout): Head | Cannot {
  switch (chain.head.op) {
    case "linear":
      return linearPlan(region, chain);
    case "matmul":
      return matmulPlan(region, chain);
    case "conv2d":
      return convPlan(name, region, chain, order);
    case "attention":
      return { cannot: `${name} has no softmax, which attention needs between its products` };
    default:
      return { cannot: `${name} has products only, no ${chain.head.op}` };
  }
}

/** A scale of a product without bias, then the sum with a tensor that lies like the result: all that is taken along. */
function afterOf(name: string, region: Region, chain: Chain): Pick<ProductPlan, "alpha" | "residual"> | Cannot {
  let alpha = 1;
  let residual: number | undefined;
  for (const { node, other } of chain.links) {
    if (node.op === "scale" && chain.operands.length === 2 && residual === undefined) alpha *= Number(node.params.by);
    else if (node.op === "add" && other !== undefined && residual === undefined && liesLikeResult(region, other)) {
      residual = other;
    } else return { cannot: `${name} cannot apply ${node.op} to its result` };
  }
  return residual === undefined ? { alpha } : { alpha, residual };
}

function liesLikeResult(region: Region, input: number): boolean {
  const [other, result] = [region.inputs[input]!, region.outputs[0]!];
  const extent = result.shape.reduce((most, dim, d) => most + (dim - 1) * result.strides[d]!, 1);
  const alike = sameShape(other.shape, result.shape) && sameShape(other.strides, result.strides);
  return alike && extent === sizeOf(result.shape);
}

const defaults = (region: Region): ProductPlan["layouts"] => ({
  inputs: region.inputs.map(() => undefined),
  outputs: [undefined],
});

const matrixView = (strides: Strides, offset = 0): MatrixView => ({
  offset,
  rowStride: strides.at(-2) ?? 0,
  columnStride: strides.at(-1)!,
});

function linearPlan(region: Region, chain: Chain): Head | Cannot {
  const [xAt, wAt, bAt] = chain.operands as [number, number, number?];
  const [x, w, out] = [region.inputs[xAt]!, region.inputs[wAt]!, region.outputs[0]!];
  const [N, K] = w.shape as [number, number];
  const b = matrixView(permuted(w, [1, 0]).strides);
  const shared = { n: N, k: K, left: xAt, right: wAt, layouts: defaults(region), ...biasOf(bAt, "rows") };
  const [src, dst] = [asMatrix(x), asMatrix(out)];
  if (src && dst) {
    return { ...shared, m: src.shape[0]!, batches: [{ a: matrixView(src.strides), b, c: matrixView(dst.strides) }] };
  }
  if (!sameShape(x.shape.slice(0, -1), out.shape.slice(0, -1)))
    return { cannot: "the rows of the result lie elsewhere" };
  const batches = [...leadingOffsets(x.shape, [x.strides, out.strides])].map(([from, to]) => {
    return { a: matrixView(x.strides, from), b, c: matrixView(out.strides, to) };
  });
  return { ...shared, m: x.shape.at(-2)!, batches };
}

function matmulPlan(region: Region, chain: Chain): Head | Cannot {
  const [left, right] = chain.operands as [number, number];
  const [a, raw, out] = [region.inputs[left]!, region.inputs[right]!, region.outputs[0]!];
  const rank = a.shape.length;
  if (out.shape.length !== rank) return { cannot: "the result of the product is read under another rank" };
  const dims = Array.from({ length: rank }, (_, d) => d);
  const b: Strided = chain.head.params.transposeB ? permuted(raw, [...dims.slice(0, -2), rank - 1, rank - 2]) : raw;
  const batches = [...leadingOffsets(a.shape, [a.strides, b.strides, out.strides])].map(([x, y, z]) => {
    return { a: matrixView(a.strides, x), b: matrixView(b.strides, y), c: matrixView(out.strides, z) };
  });
  return {
    m: a.shape.at(-2)!,
    n: b.shape.at(-1)!,
    k: a.shape.at(-1)!,
    left,
    right,
    batches,
    layouts: defaults(region),
  };
}

/** A 1×1 convolution: weights times pixels channel-first, pixels times transposed weights channel-last. */
function convPlan(name: string, region: Region, chain: Chain, order: Layout): Head | Cannot {
  const [xAt, wAt, bAt] = chain.operands as [number, number, number?];
  const [x, w, out] = [region.inputs[xAt]!, region.inputs[wAt]!, region.outputs[0]!];
  const { stride, padding } = chain.head.params as { stride: number; padding: readonly number[] };
  const [O, C, kh, kw] = w.shape as [number, number, number, number];
  if (kh * kw > 1 || stride > 1 || padding.some((p) => p > 0)) {
    return { cannot: `${name} does convolutions of 1×1 windows only, without stride or padding` };
  }
  if (order && (x.fixed || out.fixed)) return { cannot: "channels last needs free layouts on both sides" };
  const strides = (operand: Operand): Strides => (order ? denseStrides(operand.shape, order) : operand.strides);
  const [from, to] = [pixelsOf(x.shape, strides(x)), pixelsOf(out.shape, strides(out))];
  if (!from || !to) return { cannot: "the pixels do not lie at one stride" };
  const [B, pixels] = [x.shape[0]!, x.shape[2]! * x.shape[3]!];
  const weights = { offset: 0, rowStride: w.strides[0]!, columnStride: w.strides[1]! };
  const turned = ({ offset, rowStride, columnStride }: MatrixView): MatrixView => ({
    offset,
    rowStride: columnStride,
    columnStride: rowStride,
  });
  const image = (b: number, { channel, pixel }: { channel: number; pixel: number }, all: Strides): MatrixView => ({
    offset: b * all[0]!,
    rowStride: channel,
    columnStride: pixel,
  });
  const each = Array.from({ length: B }, (_, b) => [image(b, from, strides(x)), image(b, to, strides(out))] as const);
  const layouts = { inputs: region.inputs.map((_, i) => (i === xAt ? order : undefined)), outputs: [order] };
  return order
    ? {
        m: pixels, n: O, k: C, left: xAt, right: wAt, layouts, ...biasOf(bAt, "rows"),
        batches: each.map(([a, c]) => ({ a: turned(a), b: turned(weights), c: turned(c) })),
      }
    : {
        m: O, n: pixels, k: C, left: wAt, right: xAt, layouts, ...biasOf(bAt, "columns"),
        batches: each.map(([b, c]) => ({ a: weights, b, c })),
      }; // prettier-ignore
}

/** Strides of channels and of pixels, where rows of pixels follow each other. */
function pixelsOf(shape: Shape, strides: Strides): { readonly channel: number; readonly pixel: number } | undefined {
  const [, , H, W] = shape as [number, number, number, number];
  const merged = reshapeStrides([H, W], strides.slice(2), [H * W]);
  return merged && { channel: strides[1]!, pixel: merged[0] || 1 };
}

const biasOf = (input: number | undefined, over: "rows" | "columns"): Pick<ProductPlan, "bias"> =>
  input === undefined ? {} : { bias: { input, over } };

/** Offsets of each matrix of stacked ones, in every operand at once. */
function* leadingOffsets(shape: Shape, strides: readonly Strides[]): Generator<readonly [number, number, number]> {
  const lead = shape.slice(0, -2);
  const at = lead.map(() => 0);
  for (let i = 0; i < sizeOf(lead); i++) {
    yield strides.map((own) => at.reduce((sum, c, d) => sum + c * own[d]!, 0)) as unknown as [number, number, number];
    for (let d = lead.length - 1; d >= 0 && ++at[d]! === lead[d]; d--) at[d] = 0;
  }
}
