// Pointwise graph ops in oneDNN's words: as functions of one value, as operations of two, and as post-ops of a chain.
import type { Node } from "../../graph/node.js";
import { sameShape, type Shape } from "../../core/shape.js";
import type { Operand, Region } from "../../graph/region.js";
import type { Chain, Link } from "../native/chain.js";
import type { Strided } from "../native/strided.js";
import { isCannot, type Cannot } from "../provider.js";
import type { PostOp } from "./binding.js";
import { postOpArg, type BinaryKind, type EltwiseKind } from "./constants.js";
import { type Place, tensorOf } from "./form.js";

export interface Eltwise {
  readonly function: EltwiseKind;
  readonly alpha: number;
  readonly beta: number;
}

const plain = (name: EltwiseKind): Eltwise => ({ function: name, alpha: 0, beta: 0 });

/** A graph op of one operand as an eltwise function; undefined where oneDNN has none. */
export function eltwiseOf(node: Node): Eltwise | undefined {
  const by = Number(node.params.by);
  switch (node.op) {
    case "relu":
    case "tanh":
    case "sigmoid":
    case "exp":
    case "log":
    case "sqrt":
    case "square":
    case "abs":
    case "gelu_tanh":
    case "gelu_erf":
      return plain(node.op); // prettier-ignore
    case "silu":
      return { function: "swish", alpha: 1, beta: 0 };
    case "quick_gelu":
      return { function: "swish", alpha: 1.702, beta: 0 };
    case "neg":
      return { function: "linear", alpha: -1, beta: 0 };
    case "scale":
      return { function: "linear", alpha: by, beta: 0 };
    case "offset":
      return { function: "linear", alpha: 1, beta: by };
    default:
      return undefined;
  }
}

/** Functions whose relative error in f32 exceeds a few units in the last place for small results. */
const INEXACT: ReadonlySet<string> = new Set(["log", "gelu_erf"]);

/** A function of the region that oneDNN computes too roughly for its dtype. */
export const tooRough = (region: Region): Cannot | undefined => {
  const rough = region.outputs[0]?.dtype === "f32" && region.nodes.find(({ op }) => INEXACT.has(op));
  return rough ? { cannot: `oneDNN 2 computes ${rough.op} too roughly for f32` } : undefined;
};

const BINARIES: Readonly<Record<string, BinaryKind>> = {
  add: "add", mul: "mul", sub: "sub", div: "div", maximum: "max", minimum: "min",
}; // prettier-ignore
const COMMUTES: ReadonlySet<string> = new Set(["add", "mul", "maximum", "minimum"]);

/** A graph op of two operands; `at` says which of them is oneDNN's first. */
export const binaryOf = (node: Node, at: number): BinaryKind | undefined =>
  at === 0 || COMMUTES.has(node.op) ? BINARIES[node.op] : undefined;

/** Whether a node may stand in a chain, wherever its running operand is. */
export const isLinkable = (node: Node): boolean => eltwiseOf(node) !== undefined || node.op in BINARIES;

/** Views an operand in the dims of the primitive's result; `result` is the shape it broadcasts to in the graph. */
export type Spread = (operand: Operand, result: Shape) => Strided | undefined;

export interface PostOps {
  readonly list: readonly PostOp[];
  readonly args: readonly (readonly [number, Place])[];
  /** Input that the result must start as: the residual of a sum. */
  readonly startsAs?: number;
}

/** The links of a chain as post-ops. With `sum` the last one is an accumulating store onto its other operand. */
export function postOpsOf(region: Region, chain: Pick<Chain, "links">, spread: Spread, sum: boolean): PostOps | Cannot {
  const list: PostOp[] = [];
  const args: (readonly [number, Place])[] = [];
  for (const [i, link] of chain.links.entries()) {
    const eltwise = eltwiseOf(link.node);
    if (eltwise) {
      const added = withEltwise(list, eltwise);
      if (isCannot(added)) return added;
      continue;
    }
    if (sum && i === chain.links.length - 1) {
      list.push({ kind: "sum" });
      return { list, args, startsAs: link.other! };
    }
    const name = binaryOf(link.node, link.at);
    if (!name || link.other === undefined) return { cannot: `oneDNN has no post-op ${link.node.op} in this direction` };
    const view = spread(region.inputs[link.other]!, region.graph.values[link.node.outputs[0]!]!.shape);
    if (!view) return { cannot: `the other operand of ${link.node.op} repeats in a way that oneDNN cannot read` };
    args.push([postOpArg(list.length), { input: link.other }]);
    list.push({ kind: "binary", function: name, with: tensorOf(region.inputs[link.other]!, view) });
  }
  return { list, args };
}

/**
 * Adds a function; two affine ones in a row become one. Two of the same function with other parameters are refused:
 * the code generator of 2.6 shares their constants and computes something else.
 */
function withEltwise(list: PostOp[], eltwise: Eltwise): { readonly added: true } | Cannot {
  const last = list.at(-1);
  if (eltwise.function === "linear" && last?.kind === "eltwise" && last.function === "linear") {
    const { alpha = 1, beta = 0 } = last;
    list[list.length - 1] = {
      kind: "eltwise",
      function: "linear",
      alpha: alpha * eltwise.alpha,
      beta: beta * eltwise.alpha + eltwise.beta,
    };
    return { added: true };
  }
  const clashes = (op: PostOp): boolean =>
    op.kind === "eltwise" &&
    op.function === eltwise.function &&
    (op.alpha !== eltwise.alpha || op.beta !== eltwise.beta);
  if (list.some(clashes)) {
    return { cannot: `oneDNN 2 mixes up the parameters of two post-ops ${eltwise.function} of one primitive` };
  }
  list.push({ kind: "eltwise", ...eltwise });
  return { added: true };
}

/** Whether the last link can be an accumulating store: an added tensor that lies like the result. */
export function endsInSum(region: Region, links: readonly Link[]): boolean {
  const last = links.at(-1);
  if (last?.node.op !== "add" || last.other === undefined) return false;
  const [residual, result] = [region.inputs[last.other]!, region.outputs[0]!];
  return (
    residual.kind === "activation" &&
    residual.dtype === result.dtype &&
    sameShape(residual.shape, result.shape) &&
    isDense(residual) &&
    sameShape(residual.strides, result.strides)
  );
}

const isDense = ({ shape, strides }: Operand): boolean => {
  const extent = shape.reduce((most, dim, d) => most + (dim - 1) * strides[d]!, 1);
  return extent === shape.reduce((product, dim) => product * dim, 1);
};
