// Attention as two batched products with a softmax between them; the scores lie in the workspace, in f32. Grouped key
// heads repeat as a dim of 1; a causal mask is an added constant.
import { dtypeBytes } from "../../core/dtype.js";
import { contiguous, isContiguous, sizeOf } from "../../core/shape.js";
import { NativeMemory } from "../../device/native/memory.js";
import { NativeScope } from "../../device/native/scope.js";
import type { Params } from "../../graph/node.js";
import type { Operand, Region } from "../../graph/region.js";
import { tidy, type Strided } from "../native/strided.js";
import { isCannot, type Cannot } from "../provider.js";
import type { OneDnn, PostOp, Tensor } from "./binding.js";
import { ARG, postOpArg } from "./constants.js";
import { tensorOf, type Form, type Place, type Stage } from "./form.js";

export function makeAttention(dnn: OneDnn, region: Region, params: Params): Form | Cannot {
  if (region.nodes.length > 1) return { cannot: "oneDNN does attention alone, without what follows" };
  const node = region.nodes[0]!;
  const at = node.inputs.map((value) => region.inputs.findIndex((input) => input.value === value));
  const [q, k, v, bias] = at.map((index) => region.inputs[index]!) as [Operand, Operand, Operand, Operand?];
  const [B, Q, H] = q.shape as [number, number, number];
  const [L, G] = [k.shape[1]!, k.shape[2]!];
  const { scale, causal } = node.params as { scale: number; causal: boolean };
  const scope = new NativeScope();
  const scores = dense([B, G, H / G, Q, L], "f32");
  const postOps: PostOp[] = [];
  const extra: (readonly [number, Place])[] = [];
  const stages: Stage[] = [];
  const temporaryBytes: number[] = [bytesOf(scores)];
  if (bias) {
    const table = dense([1, G, H / G, Q, L], bias.dtype as Tensor["dtype"]);
    let place: Place = { input: at[3]! };
    if (!isContiguous(bias.shape, bias.strides)) {
      const straight = dnn.reorder(tensorOf(bias, tidy(bias)), dense(bias.shape, table.dtype));
      if (isCannot(straight)) return straight;
      place = { temporary: temporaryBytes.push(bytesOf(table)) - 1 };
      stages.push({
        name: "bias",
        primitive: straight,
        args: [
          [ARG.src, { input: at[3]! }],
          [ARG.dst, place],
        ],
      });
    }
    extra.push([postOpArg(postOps.length), place]);
    postOps.push({ kind: "binary", function: "add", with: reducedTensor(table, G === H) });
  }
  if (causal) {
    extra.push([postOpArg(postOps.length), { constant: scope.own(causalMask(Q, L)) }]);
    postOps.push({ kind: "binary", function: "add", with: reducedTensor(dense([1, 1, 1, Q, L], "f32"), G === H) });
  }
  const single = G === H;
  const heads = (operand: Operand, order: "rows" | "columns"): Tensor => headView(operand, G, order, single);
  const first = dnn.matmul({
    src: heads(q, "rows"),
    weights: heads(k, "columns"),
    dst: reducedTensor(scores, single),
    scale,
    postOps,
  });
  if (isCannot(first)) return first;
  const weights = q.dtype === "f32" ? scores : dense(scores.dims, q.dtype as Tensor["dtype"]);
  const soft = dnn.softmax({ src: matrix(scores), dst: matrix(weights), axis: 1 });
  if (isCannot(soft)) return soft;
  const second = dnn.matmul({
    src: reducedTensor(weights, single),
    weights: heads(v, "rows"),
    dst: heads(region.outputs[0]!, "rows"),
  });
  if (isCannot(second)) return second;
  const sums: Place = { temporary: 0 };
  const shares: Place = weights === scores ? sums : { temporary: temporaryBytes.push(bytesOf(weights)) - 1 };
  stages.push(
    { name: "scores", primitive: first, args: [[ARG.src, { input: at[0]! }], [ARG.weights, { input: at[1]! }], [ARG.dst, sums], ...extra] },
    { name: "softmax", primitive: soft, args: [[ARG.src, sums], [ARG.dst, shares]] },
    { name: "values", primitive: second, args: [[ARG.src, shares], [ARG.weights, { input: at[2]! }], [ARG.dst, { output: 0 }]] },
  ); // prettier-ignore
  return {
    id: "attention in two products",
    params,
    temporaryBytes,
    stages,
    scope,
  };
}

const dense = (dims: readonly number[], dtype: Tensor["dtype"]): Tensor & { readonly strides: readonly number[] } => ({
  dims,
  dtype,
  strides: contiguous(dims),
});

const bytesOf = ({ dims, dtype }: Tensor): number => sizeOf(dims) * dtypeBytes(dtype === "bf16" ? "bf16" : "f32");

const matrix = ({ dims, dtype }: Tensor): Tensor => dense([sizeOf(dims) / dims.at(-1)!, dims.at(-1)!], dtype);

/** Without the dim of repeated heads, where every key head has one query head: four dims take the faster code. */
const reduced = ({ shape, strides }: Strided, single = shape[2] === 1): Strided =>
  single ? { shape: shape.toSpliced(2, 1), strides: strides.toSpliced(2, 1) } : { shape, strides };

function reducedTensor(tensor: Tensor & { readonly strides: readonly number[] }, single: boolean): Tensor {
  const view = tidy(reduced({ shape: tensor.dims, strides: tensor.strides }, single));
  return { dims: view.shape, strides: view.strides, dtype: tensor.dtype };
}

/** x[B, T, heads, D] as [B, G, heads / G, T, D] (rows) or [B, G, heads / G, D, T] (columns). */
function headView(operand: Operand, G: number, order: "rows" | "columns", single: boolean): Tensor {
  const [B, T, heads, D] = operand.shape as [number, number, number, number];
  const [sB, sT, sH, sD] = operand.strides as [number, number, number, number];
  const lead = { shape: [B, G, heads / G], strides: [sB, sH * (heads / G), sH] };
  const view =
    order === "rows"
      ? { shape: [...lead.shape, T, D], strides: [...lead.strides, sT, sD] }
      : { shape: [...lead.shape, D, T], strides: [...lead.strides, sD, sT] };
  return tensorOf(operand, tidy(reduced(view, single)));
}

/** 0 where query i sees key j, −∞ elsewhere; the last query sees all. */
function causalMask(Q: number, L: number): NativeMemory {
  const memory = new NativeMemory(Q * L * 4);
  const values = new Float32Array(memory.view());
  for (let i = 0; i < Q; i++) values.fill(Number.NEGATIVE_INFINITY, i * L + Math.min(L, L - Q + i + 1), (i + 1) * L);
  return memory;
}
