// Every graph op in ONNX's words, opset 21 with ONNX Runtime's own additions where its CPU kernels are better.
import type { Shape } from "../../core/shape.js";
import type { Node } from "../../graph/node.js";
import { lowerAttention, lowerRope } from "./attention.js";
import { MICROSOFT, type Emitter, type Lowering } from "./emit.js";
import { ONNX_DTYPE, type Attribute, type OnnxDType } from "./onnx.js";

/** One node with the same operands. */
const same =
  (op: string, attributes?: Readonly<Record<string, Attribute>>, domain?: string): Lowering =>
  (emit, node) => {
    const inputs = node.inputs.map((_, i) => emit.in(node, i));
    emit.op(op, inputs, { to: emit.out(node), ...(attributes ? { attributes } : {}), ...(domain ? { domain } : {}) });
  };

/** x ∘ number. */
const withNumber =
  (op: string): Lowering =>
  (emit, node) =>
    void emit.op(op, [emit.in(node, 0), emit.float32([Number(node.params.by)], [])], { to: emit.out(node) });

/** Rows in two dims, since Gemm knows only those; ONNX Runtime's reshapes move nothing. */
const linear: Lowering = (emit, node) => {
  const [x, w] = [emit.shape(node, 0), emit.shape(node, 1)];
  const operands = node.inputs.slice(1).map((_, i) => emit.in(node, i + 1));
  const attributes = { transB: { int: 1 } };
  if (x.length === 2) return void emit.op("Gemm", [emit.in(node, 0), ...operands], { attributes, to: emit.out(node) });
  const rows = emit.reshape(emit.in(node, 0), [-1, w[1]!]);
  emit.reshape(emit.op("Gemm", [rows, ...operands], { attributes }), emit.outShape(node), emit.out(node));
};

const matmul: Lowering = (emit, node) => {
  const rank = emit.shape(node, 1).length;
  const perm = Array.from({ length: rank }, (_, d) => (d < rank - 2 ? d : 2 * rank - 3 - d));
  const right = node.params.transposeB ? emit.transpose(emit.in(node, 1), perm) : emit.in(node, 1);
  emit.op("MatMul", [emit.in(node, 0), right], { to: emit.out(node) });
};

/** x scaled by its root mean square: a layer norm without mean in ONNX Runtime's words. */
const rmsNorm: Lowering = (emit, node) => {
  const width = emit.shape(node, 0).at(-1)!;
  const scale = node.inputs.length > 1 ? emit.in(node, 1) : emit.filled(1, [width]);
  const attributes = { axis: { int: -1 }, epsilon: { float: Number(node.params.eps) }, stash_type: { int: 1 } };
  emit.op("SimplifiedLayerNormalization", [emit.in(node, 0), scale], { attributes, to: emit.out(node) });
};

const layerNorm: Lowering = (emit, node) => {
  const width = emit.shape(node, 0).at(-1)!;
  const affine = node.inputs.length > 1 ? [emit.in(node, 1), emit.in(node, 2)] : [emit.filled(1, [width])];
  const attributes = { axis: { int: -1 }, epsilon: { float: Number(node.params.eps) } };
  emit.op("LayerNormalization", [emit.in(node, 0), ...affine], { attributes, to: emit.out(node) });
};

/** Groups as channels of an instance norm, which has a kernel of its own; GroupNormalization is taken apart instead. */
const groupNorm: Lowering = (emit, node) => {
  const { groups, eps } = node.params as { groups: number; eps: number };
  const shape = emit.shape(node, 0);
  const [B, C] = shape as [number, number];
  const grouped = emit.reshape(emit.in(node, 0), [B, groups, -1]);
  const attributes = { epsilon: { float: eps } };
  const plain = emit.op("InstanceNormalization", [grouped, emit.filled(1, [groups]), emit.filled(0, [groups])], { attributes }); // prettier-ignore
  const channels = (index: number): string => emit.reshape(emit.in(node, index), [C, 1, 1]);
  const scaled = emit.op("Mul", [emit.reshape(plain, shape), channels(1)]);
  emit.op("Add", [scaled, channels(2)], { to: emit.out(node) });
};

const conv2d: Lowering = (emit, node) => {
  const { stride, padding } = node.params as { stride: number; padding: readonly number[] };
  const kernel = emit.shape(node, 1).slice(2);
  const attributes = { kernel_shape: { ints: kernel }, strides: { ints: [stride, stride] }, pads: { ints: padding } };
  same("Conv", attributes)(emit, node);
};

const upsample: Lowering = (emit, node) => {
  const factor = Number(node.params.factor);
  const attributes = {
    mode: { string: "nearest" },
    coordinate_transformation_mode: { string: "asymmetric" },
    nearest_mode: { string: "floor" },
  };
  emit.op("Resize", [emit.in(node, 0), "", emit.float32([1, 1, factor, factor], [4])], { attributes, to: emit.out(node) }); // prettier-ignore
};

const toInt = (emit: Emitter, x: string, dtype: OnnxDType, to?: string): string =>
  emit.op("Cast", [x], { attributes: { to: { int: ONNX_DTYPE[dtype] } }, ...(to ? { to } : {}) });

const firstMatch: Lowering = (emit, node) => {
  const { rule, id } = node.params as { rule: "argmax" | "equals"; id: number };
  const ids = emit.in(node, 0);
  const marks = rule === "argmax" ? ids : toInt(emit, emit.op("Equal", [ids, emit.int32([id], [])]), "i32");
  const attributes = { axis: { int: 1 }, keepdims: { int: 0 } };
  toInt(emit, emit.op("ArgMax", [marks], { attributes }), "i32", emit.out(node));
};

/** Cosines, then sines, of the time at each frequency. */
const sinusoid: Lowering = (emit, node) => {
  const { width, maxPeriod, scale } = node.params as { width: number; maxPeriod: number; scale: number };
  const half = width / 2;
  const frequencies = Array.from({ length: half }, (_, k) => scale * maxPeriod ** (-k / half));
  const column = emit.reshape(emit.in(node, 0), [-1, 1]);
  const angles = emit.op("Mul", [column, emit.float32(frequencies, [1, half])]);
  const both = [emit.op("Cos", [angles]), emit.op("Sin", [angles])];
  emit.op("Concat", both, { attributes: { axis: { int: 1 } }, to: emit.out(node) });
};

const slice: Lowering = (emit, node) => {
  const { axis, start, length } = node.params as { axis: number; start: number; length: number };
  const bounds = [emit.int64([start]), emit.int64([start + length]), emit.int64([axis])];
  emit.op("Slice", [emit.in(node, 0), ...bounds], { to: emit.out(node) });
};

const shapeParam = (node: Node): Shape => node.params.shape as Shape;

export const LOWERINGS: Readonly<Record<string, Lowering>> = {
  linear,
  matmul,
  attention: lowerAttention,
  rope: lowerRope,
  rms_norm: rmsNorm,
  layer_norm: layerNorm,
  group_norm: groupNorm,
  softmax: same("Softmax", { axis: { int: -1 } }),
  conv2d,
  upsample_nearest: upsample,
  embedding: (emit, node) => void emit.op("Gather", [emit.in(node, 1), emit.in(node, 0)], { to: emit.out(node) }),
  take_row: (emit, node) => {
    const indices = emit.reshape(toInt(emit, emit.in(node, 1), "i64"), [-1, 1]);
    emit.op("GatherND", [emit.in(node, 0), indices], { attributes: { batch_dims: { int: 1 } }, to: emit.out(node) });
  },
  select: (emit, node) => {
    emit.reshape(emit.op("Gather", [emit.in(node, 0), emit.in(node, 1)]), emit.outShape(node), emit.out(node));
  },
  first_match: firstMatch,
  sinusoid,
  linear_i8: () => ({ cannot: "ONNX Runtime rounds activations by one step a tensor, not a step for each row" }),
  random_normal: () => ({ cannot: "ONNX Runtime's random numbers are not troupe's" }),
  page_append: () => ({ cannot: "ONNX has no state that is written in place" }),
  paged_attention: () => ({ cannot: "ONNX has no attention over pages chosen at run time" }),

  reshape: (emit, node) => void emit.reshape(emit.in(node, 0), shapeParam(node), emit.out(node)),
  transpose: (emit, node) =>
    void emit.transpose(emit.in(node, 0), node.params.order as readonly number[], emit.out(node)),
  slice,
  concat: (emit, node) => same("Concat", { axis: { int: Number(node.params.axis) } })(emit, node),
  copy: same("Identity"),
  cast: (emit, node) => void toInt(emit, emit.in(node, 0), node.params.to as OnnxDType, emit.out(node)),

  add: same("Add"),
  sub: same("Sub"),
  mul: same("Mul"),
  div: same("Div"),
  maximum: same("Max"),
  minimum: same("Min"),
  neg: same("Neg"),
  abs: same("Abs"),
  square: (emit, node) => void emit.op("Mul", [emit.in(node, 0), emit.in(node, 0)], { to: emit.out(node) }),
  sqrt: same("Sqrt"),
  rsqrt: (emit, node) => void emit.op("Reciprocal", [emit.op("Sqrt", [emit.in(node, 0)])], { to: emit.out(node) }),
  recip: same("Reciprocal"),
  exp: same("Exp"),
  log: same("Log"),
  tanh: same("Tanh"),
  sigmoid: same("Sigmoid"),
  sin: same("Sin"),
  cos: same("Cos"),
  relu: same("Relu"),
  silu: same("QuickGelu", { alpha: { float: 1 } }, MICROSOFT),
  quick_gelu: same("QuickGelu", { alpha: { float: 1.702 } }, MICROSOFT),
  gelu_tanh: same("Gelu", { approximate: { string: "tanh" } }),
  gelu_erf: same("Gelu"),
  scale: withNumber("Mul"),
  offset: withNumber("Add"),
};
