// A region as one product of cuBLASLt. The library is column-major: a row-major result [M, N] is its N × M matrix, so the
// weight comes first and the bias, one number for each of its rows, is the library's own epilogue.
import type { DType } from "../../core/dtype.js";
import { reshapeStrides, sameShape, sizeOf, type Shape, type Strides } from "../../core/shape.js";
import type { Operand, Region } from "../../graph/region.js";
import { chainOf, type Chain } from "../native/chain.js";
import { tidy } from "../native/strided.js";
import { isCannot, type Cannot } from "../provider.js";

/** A matrix of the library: element (row, column) at row + column · ld, or the other way round where it is transposed. */
export interface Matrix {
  readonly rows: number;
  readonly columns: number;
  readonly ld: number;
  readonly transposed: boolean;
  /** Elements between the matrices of a batch. */
  readonly batchStride: number;
}

export interface Form {
  readonly dtype: DType;
  readonly m: number;
  readonly n: number;
  readonly batch: number;
  /** The library's A, B and result; inputs of the region that A and B are. */
  readonly a: Matrix;
  readonly b: Matrix;
  readonly d: Matrix;
  readonly left: number;
  readonly right: number;
  readonly bias?: number;
  readonly gelu: boolean;
  /** The factor of the product; 1 where absent. */
  readonly alpha?: number;
  /** Of the result, where it is not the operands'. */
  readonly resultDtype?: DType;
  /** The input that is added to the result, and how it lies. */
  readonly residual?: { readonly input: number; readonly c: Matrix };
  /** Products one after another, each a matrix further in B, C and the result, all with the same A; 1 where absent. */
  readonly pictures?: number;
}

const DTYPES: ReadonlySet<DType> = new Set(["f32", "bf16", "f16"]);
/** Products one after another that one step may be. */
export const MOST_PICTURES = 64;

export function formOf(region: Region): Form | Cannot {
  const [output] = region.outputs as readonly [Operand];
  const odd = [...region.inputs, ...region.outputs].find(({ dtype }) => dtype !== output.dtype || !DTYPES.has(dtype));
  if (odd) return { cannot: `cuBLASLt multiplies operands of one float type here, not ${odd.dtype}` };
  const empty = [...region.inputs, ...region.outputs].find(({ shape }) => shape.includes(0));
  if (empty) return { cannot: `an operand of shape [${empty.shape.join(", ")}] has no elements` };
  const chain = chainOf(region);
  if (isCannot(chain)) return chain;
  if (chain.head.op === "linear") return linearForm(region, chain);
  if (chain.head.op === "matmul") return matmulForm(region, chain);
  return { cannot: `cuBLASLt has products only, no ${chain.head.op}` };
}

/** Rows × columns with these strides as a matrix of the library, which wants one of them to be 1. */
export function matrix(rows: number, columns: number, rowStride: number, columnStride: number, batchStride = 0): Matrix | undefined {
  if (rows > 1 && columns > 1 && Math.min(rowStride, columnStride) !== 1) return undefined;
  if ((rows > 1 && rowStride === 0) || (columns > 1 && columnStride === 0)) return undefined;
  if (rows > 1 && columns > 1 && Math.max(rowStride, columnStride) < (columnStride === 1 ? columns : rows)) return undefined;
  if (columnStride === 1 || columns === 1) return { rows: columns, columns: rows, ld: Math.max(rowStride, columns), transposed: false, batchStride };
  if (rowStride === 1 || rows === 1) return { rows, columns, ld: Math.max(columnStride, rows), transposed: true, batchStride };
  return undefined;
} // prettier-ignore

/** A linear layer as one product or, where the pictures of a batch do not lie at one stride, as one for each. */
function linearForm(region: Region, chain: Chain): Form | Cannot {
  const whole = linearOf(region, chain, 1);
  const { shape } = region.outputs[0]!;
  const pictures = shape.length > 2 ? shape[0]! : 1;
  if (!isCannot(whole) || pictures === 1 || pictures > MOST_PICTURES) return whole;
  const each = linearOf(region, chain, pictures);
  return isCannot(each) ? whole : { ...each, pictures };
}

/** One of `pictures` equal products. */
function linearOf(region: Region, chain: Chain, pictures: number): Form | Cannot {
  const [left, right, bias] = chain.operands as [number, number, number?];
  const [x, w] = [region.inputs[left]!, region.inputs[right]!];
  const [output] = region.outputs as readonly [Operand];
  const [N, K] = w.shape as [number, number];
  const n = sizeOf(output.shape) / N / pictures;
  if (output.shape.at(-1) !== N) return { cannot: "the result is reshaped" };
  const [b, d] = [rowsOf(x, pictures), rowsOf(output, pictures)];
  if (isCannot(b)) return b;
  if (isCannot(d)) return d;
  if (bias !== undefined && output.dtype !== "f32" && (N % 8 !== 0 || K % 8 !== 0))
    return { cannot: `for ${N} columns of ${K} terms cuBLASLt rounds before it adds the bias` };
  const a = matrix(N, K, w.strides[0]!, w.strides[1]!);
  if (!a || d.transposed) return { cannot: "an operand has no dimension of stride 1" };
  const biased = bias === undefined ? undefined : region.inputs[bias]!;
  if (biased && biased.strides.at(-1) !== 1) return { cannot: "the bias lies apart" };
  const after = afterOf(region, chain, pictures);
  if (isCannot(after)) return after;
  const { dtype } = output;
  return { dtype, m: N, n, batch: 1, a, b, d, left: right, right: left, ...(bias !== undefined && { bias }), ...after }; // prettier-ignore
}

function matmulForm(region: Region, chain: Chain): Form | Cannot {
  const [left, right] = chain.operands as [number, number];
  const [x, y] = [region.inputs[left]!, region.inputs[right]!];
  const [output] = region.outputs as readonly [Operand];
  const transposed = chain.head.params["transposeB"] === true;
  const [M, K, N] = [x.shape.at(-2)!, x.shape.at(-1)!, output.shape.at(-1)!];
  const batch = sizeOf(output.shape.slice(0, -2));
  const [first, second, third] = [batched(x, batch), batched(y, batch), batched(output, batch)];
  if (!first || !second || !third) return { cannot: "the matrices of the batch do not lie at one stride" };
  const b = matrix(M, K, first[1], first[2], first[0]);
  const a = transposed ? matrix(N, K, second[1], second[2], second[0]) : matrix(N, K, second[2], second[1], second[0]);
  const d = matrix(M, N, third[1], third[2], third[0]);
  if (!a || !b || !d || d.transposed) return { cannot: "an operand has no dimension of stride 1" };
  if (chain.links.length > 0) return { cannot: "nothing follows a batched product in one call" };
  return { dtype: output.dtype, m: N, n: M, batch, a, b, d, left: right, right: left, gelu: false };
}

/** Strides as `batch` matrices of the last dim's columns: from one to the next, of rows and of columns. */
function batched({ shape, strides }: Operand, batch: number): readonly [number, number, number] | undefined {
  const columns = shape.at(-1)!;
  const to: Shape = [batch, sizeOf(shape) / columns / batch, columns];
  const merged: Strides | undefined = reshapeStrides(shape, strides, to);
  if (!merged) return undefined;
  const [b, r, c] = tidy({ shape: to, strides: merged }).strides as [number, number, number];
  return [b, r, c];
}

/** The rows of one of `pictures`, each `batchStride` behind the last. */
function rowsOf(operand: Operand, pictures: number): Matrix | Cannot {
  const strides = batched(operand, pictures);
  if (!strides) return { cannot: "the rows do not lie at one stride" };
  const columns = operand.shape.at(-1)!;
  const [apart, row, column] = strides;
  const rows = matrix(sizeOf(operand.shape) / columns / pictures, columns, row, column, apart);
  return rows ?? { cannot: "an operand has no dimension of stride 1" };
}

/** GELU in its tanh form, or the sum with a tensor of the result's shape: what the library's epilogue takes along. */
function afterOf(region: Region, { links }: Chain, pictures: number): Pick<Form, "gelu" | "residual"> | Cannot {
  const [link, ...more] = links;
  if (!link) return { gelu: false };
  if (more.length > 0) return { cannot: `cuBLASLt cannot apply ${more[0]!.node.op} after ${link.node.op}` };
  if (link.node.op === "gelu_tanh") return { gelu: true };
  if (link.node.op !== "add" || link.other === undefined) return { cannot: `cuBLASLt cannot apply ${link.node.op}` };
  const other = region.inputs[link.other]!;
  if (!sameShape(other.shape, region.outputs[0]!.shape)) return { cannot: "what is added has another shape" };
  const c = rowsOf(other, pictures);
  return isCannot(c) || c.transposed ? { cannot: "what is added lies apart" } : { gelu: false, residual: { input: link.other, c } }; // prettier-ignore
}
