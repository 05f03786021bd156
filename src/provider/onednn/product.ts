// Linear layers and matrix products: weights packed as the primitive likes them or read as they lie; pointwise ops that
// follow become post-ops, a final residual either a sum in place or an operand.
import { dtypeBytes } from "../../core/dtype.js";
import { contiguous, isContiguous, sizeOf } from "../../core/shape.js";
import type { Params } from "../../graph/node.js";
import type { Operand, Region } from "../../graph/region.js";
import { chainOf, type Chain } from "../native/chain.js";
import { runsOf } from "../native/runs.js";
import { asBroadcastMatrix, asMatrix, padded, permuted, tidy, type Strided } from "../native/strided.js";
import { isCannot, type Cannot } from "../provider.js";
import type { OneDnn } from "./binding.js";
import { ARG } from "./constants.js";
import { packWeights, tensorOf, type Form, type Place } from "./form.js";
import { endsInSum, postOpsOf, type Spread } from "./postop.js";

/** The operands of the product as views whose last two dims are the matrices'. */
interface Views {
  readonly src: Strided;
  readonly weights: Strided;
  readonly dst: Strided;
  readonly spread: Spread;
}

export function productVariants(region: Region): readonly Params[] {
  const chain = chainOf(region);
  if (isCannot(chain)) return [{}]; // the maker has the reason
  const packable = isPackable(region.inputs[chain.operands[1]!]!);
  const weights = packable ? ["packed", "plain"] : ["plain"];
  const residuals = endsInSum(region, chain.links) ? ["sum", "operand"] : ["operand"];
  const plain = weights.flatMap((w) => residuals.map((residual) => ({ weights: w, residual })));
  const out = asMatrix(region.outputs[0]!);
  const strided = out && !isContiguous(out.shape, out.strides);
  // The faster code writes dense results only; a copy into the window may cost less than the slower code.
  return strided ? [...plain, { weights: weights[0]!, residual: "operand", copied: true }] : plain;
}

const isPackable = ({ kind, shape, strides }: Operand): boolean =>
  (kind === "weight" || kind === "constant") && sizeOf(shape) > 0 && strides.at(-1) === 1 && strides[0] === shape[1];

export function makeProduct(dnn: OneDnn, region: Region, params: Params): Form | Cannot {
  const chain = chainOf(region);
  if (isCannot(chain)) return chain;
  const views = chain.head.op === "linear" ? linearViews(region, chain) : matmulViews(region, chain);
  let answer: Form | Cannot = { cannot: "the operands' strides do not make matrices" };
  for (const view of views) {
    answer = formOf(dnn, region, chain, view, params);
    if (!isCannot(answer)) return answer;
  }
  return answer;
}

function formOf(dnn: OneDnn, region: Region, chain: Chain, views: Views, params: Params): Form | Cannot {
  const [x, w, b] = chain.operands.map((index) => region.inputs[index]!) as [Operand, Operand, Operand?];
  const [xAt, wAt, bAt] = chain.operands as [number, number, number?];
  const sum = params.residual === "sum";
  const post = postOpsOf(region, chain, views.spread, sum);
  if (isCannot(post)) return post;
  const packed = params.weights === "packed";
  const weights = tensorOf(w, views.weights);
  const bias = b && biasView(b, views.dst.shape.length);
  const out = tensorOf(region.outputs[0]!, views.dst);
  const copied = params.copied === true;
  const dst = copied ? { ...out, strides: contiguous(out.dims) } : out;
  const primitive = dnn.matmul({
    src: tensorOf(x, views.src),
    weights: packed ? { ...weights, strides: "any" } : weights,
    ...(b && bias ? { bias: tensorOf(b, bias) } : {}),
    dst,
    postOps: post.list,
  });
  if (isCannot(primitive)) return primitive;
  const target: Place = copied ? { temporary: 0 } : { output: 0 };
  const runs = copied ? runsOf(out.dims, views.dst.strides) : undefined;
  if (copied && !runs) return { cannot: "the result's window is too scattered to copy" };
  const args: (readonly [number, Place])[] = [
    [ARG.src, { input: xAt }], [ARG.weights, { input: wAt }], [ARG.dst, target], ...post.args,
  ]; // prettier-ignore
  if (bAt !== undefined) args.push([ARG.bias, { input: bAt }]);
  return {
    id: `matmul ${packed ? "packed" : "plain"}${sum ? " sum" : ""}${copied ? " copied" : ""}`,
    params,
    packings: packed ? [packWeights(wAt, weights, primitive)] : [],
    ...(post.startsAs === undefined ? {} : { startsAs: post.startsAs, aliases: [{ output: 0, input: post.startsAs }] }),
    temporaryBytes: copied ? [sizeOf(dst.dims) * dtypeBytes(region.outputs[0]!.dtype)] : [],
    ...(runs && { endsFrom: { temporary: 0, runs } }),
    stages: [{ name: chain.head.op, primitive, args }],
  };
}

/** All leading dims as one, else each for itself with the weights repeated. */
function linearViews(region: Region, chain: Chain): readonly Views[] {
  const [x, w] = chain.operands.map((index) => region.inputs[index]!) as [Operand, Operand];
  const out = region.outputs[0]!;
  const headShape = region.graph.values[chain.head.outputs[0]!]!.shape;
  const turned = tidy(permuted(w, [1, 0]));
  const found: Views[] = [];
  const [src, dst] = [asMatrix(x), asMatrix(out)];
  if (src && dst) found.push({ src, weights: turned, dst, spread: asBroadcastMatrix });
  const rank = headShape.length;
  if (rank > 2 && out.shape.length === rank) {
    found.push({
      src: tidy(x),
      weights: padded(turned, rank),
      dst: tidy(out),
      spread: toRank(rank),
    });
  }
  return found;
}

function matmulViews(region: Region, chain: Chain): readonly Views[] {
  const [a, b] = chain.operands.map((index) => region.inputs[index]!) as [Operand, Operand];
  const out = region.outputs[0]!;
  const rank = a.shape.length;
  if (out.shape.length !== rank) return [];
  const order = Array.from({ length: rank }, (_, d) => d);
  const turned = chain.head.params.transposeB ? permuted(b, [...order.slice(0, -2), rank - 1, rank - 2]) : b;
  return [{ src: tidy(a), weights: tidy(turned), dst: tidy(out), spread: toRank(rank) }];
}

/** Operands of chains that keep the rank of the product's result. */
const toRank =
  (rank: number): Spread =>
  (operand, result) =>
    result.length === rank ? padded(operand, rank) : undefined;

/** A vector over the columns of a result of `rank` dims. */
const biasView = (bias: Strided, rank: number): Strided => padded(bias, rank);
