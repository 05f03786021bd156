// Attention and rotary embedding: ONNX Runtime's fused kernels, or attention taken apart into products and softmax.
import type { Node } from "../../graph/node.js";
import type { Cannot } from "../provider.js";
import { MICROSOFT, type Emitter, type Lowering } from "./emit.js";

/** A mask of more elements is not written into a model. */
const MOST_MASK_ELEMENTS = 2 ** 24;

interface Shapes {
  readonly B: number;
  readonly Q: number;
  readonly H: number;
  readonly D: number;
  readonly L: number;
  readonly G: number;
}

function shapesOf(emit: Emitter, node: Node): Shapes {
  const [B, Q, H, D] = emit.shape(node, 0) as [number, number, number, number];
  const [, L, G] = emit.shape(node, 1) as [number, number, number];
  return { B, Q, H, D, L, G };
}

export const lowerAttention: Lowering = (emit, node) => {
  const shapes = shapesOf(emit, node);
  if (node.params.causal && shapes.Q * shapes.L > MOST_MASK_ELEMENTS) {
    return { cannot: `a causal mask of ${shapes.Q}×${shapes.L} is too large to write into a model` };
  }
  return emit.options.attention === "products" ? inProducts(emit, node, shapes) : fused(emit, node, shapes);
};

/** MultiHeadAttention over [B, T, H·D]. */
function fused(emit: Emitter, node: Node, { B, Q, H, D, L, G }: Shapes): Cannot | void {
  const merged = (x: string, T: number): string => emit.reshape(x, [B, T, H * D]);
  const spread = (index: number): string => merged(repeated(emit, emit.in(node, index), { B, L, G, H, D }), L);
  const bias = addedBias(emit, node, { B, Q, H, D, L, G });
  const inputs = [merged(emit.in(node, 0), Q), spread(1), spread(2), ...(bias ? ["", "", bias] : [])];
  const attributes = { num_heads: { int: H }, scale: { float: Number(node.params.scale) } };
  const result = emit.op("MultiHeadAttention", inputs, { domain: MICROSOFT, attributes });
  emit.reshape(result, [B, Q, H, D], emit.out(node));
}

/** softmax(q · kᵀ · scale + bias) · v over [B, H, T, D]. */
function inProducts(emit: Emitter, node: Node, { B, Q, H, D, L, G }: Shapes): void {
  const heads = [0, 2, 1, 3];
  const q = emit.op("Mul", [emit.in(node, 0), emit.float32([Number(node.params.scale)], [])]);
  const [k, v] = [1, 2].map((index) => repeated(emit, emit.in(node, index), { B, L, G, H, D })) as [string, string];
  const products = emit.op("MatMul", [emit.transpose(q, heads), emit.transpose(k, [0, 2, 3, 1])]);
  const bias = addedBias(emit, node, { B, Q, H, D, L, G });
  const scores = bias ? emit.op("Add", [products, bias]) : products;
  const weights = emit.op("Softmax", [scores], { attributes: { axis: { int: -1 } } });
  emit.transpose(emit.op("MatMul", [weights, emit.transpose(v, heads)]), heads, emit.out(node));
}

/** Key and value heads said again for each of their query heads. */
function repeated(emit: Emitter, x: string, { B, L, G, H, D }: Omit<Shapes, "Q">): string {
  if (G === H) return x;
  const apart = emit.reshape(x, [B, L, G, 1, D]);
  const many = emit.op("Expand", [apart, emit.int64([B, L, G, H / G, D])]);
  return emit.reshape(many, [B, L, H, D]);
}

/** The node's bias and its causal mask in one tensor of [1, heads or 1, Q, L]. */
function addedBias(emit: Emitter, node: Node, { Q, H, L }: Shapes): string | undefined {
  const bias = node.inputs.length > 3 ? emit.reshape(emit.in(node, 3), [1, H, Q, L]) : undefined;
  if (!node.params.causal) return bias;
  const values = new Float32Array(Q * L);
  for (let i = 0; i < Q; i++) values.fill(Number.NEGATIVE_INFINITY, i * L + (L - Q + i + 1), (i + 1) * L);
  const mask = emit.float32(values, [1, 1, Q, L]);
  return bias ? emit.op("Add", [bias, mask]) : mask;
}

/** RotaryEmbedding over [B, T, H·D]; positions count from 0 in the tables. */
export const lowerRope: Lowering = (emit, node) => {
  const [B, T, H, D] = emit.shape(node, 0) as [number, number, number, number];
  const inputs = [emit.reshape(emit.in(node, 0), [B, T, H * D]), emit.int64([0]), emit.in(node, 1), emit.in(node, 2)];
  const attributes = {
    interleaved: { int: node.params.style === "interleaved" ? 1 : 0 },
    num_heads: { int: H },
  };
  emit.reshape(emit.op("RotaryEmbedding", inputs, { domain: MICROSOFT, attributes }), [B, T, H, D], emit.out(node));
};
