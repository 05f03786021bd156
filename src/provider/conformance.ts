// The suite that belongs to the provider contract: single ops with hostile shapes and values, and fused regions as models
// have them, on strided inputs and outputs. What runs it, in a process of its own, is tuner/conform.ts.
import { isFloat, type DType } from "../core/dtype.js";
import { producersOf, type Graph, type NodeId, type Value, type ValueId } from "../graph/node.js";
import { hasTrait } from "../graph/op.js";
import { opOf } from "../graph/ops.js";
import { Regions } from "../graph/region.js";
import { materialize } from "../graph/storage.js";
import { tensorsOf, typesOf, type OpCase } from "../graph/case.js";
import { allCases } from "../graph/cases.js";
import { Words } from "../graph/words.js";

export interface ConformanceCase {
  readonly title: string;
  readonly dtype: DType;
  readonly graph: Graph;
  /** Values of graph sources; what is absent is drawn at random. */
  readonly data: ReadonlyMap<ValueId, Float64Array>;
  /** Work nodes of regions that every provider is asked about; its own patterns come in addition. */
  readonly regions: readonly (readonly NodeId[])[];
  /** The only right answer is "cannot". */
  readonly mustRefuse: boolean;
}

/** Inputs that are weights of a model where these ops are used. */
const WEIGHTS: Readonly<Record<string, readonly number[]>> = {
  linear: [1, 2], linear_i8: [1, 2], conv2d: [1, 2], rms_norm: [1], layer_norm: [1, 2], group_norm: [1, 2], embedding: [1],
}; // prettier-ignore

/** All cases for floats of a dtype. */
export function* conformanceCases(dtype: DType): Iterable<ConformanceCase> {
  for (const example of allCases) {
    if (hasTrait(opOf(example), "view")) continue;
    const made = singleOp(example, dtype);
    if (made) yield made;
  }
  for (const [title, build] of FUSED)
    for (const size of SIZES) {
      const g = new Words(title);
      const graph = materialize(g.finish(build(g, dtype, size)));
      yield fusedCase(`${title}, ${size.rows} × ${size.width}`, dtype, graph);
    }
  yield emptyBatch(dtype);
}

/** The graph of one op on a case's inputs; undefined where the op does not take this dtype. */
function singleOp(example: OpCase, dtype: DType): ConformanceCase | undefined {
  const g = new Words(example.op);
  const op = opOf(example);
  const types = typesOf(example, dtype);
  const state = op.mutates?.(example.params as never).map((pair) => pair.input) ?? [];
  const inputs = types.map((type, i) => {
    if (state.includes(i)) return g.state(`state${i}`, type.dtype, type.shape);
    return WEIGHTS[example.op]?.includes(i)
      ? g.weight(`weight${i}`, type.dtype, type.shape)
      : g.input(`input${i}`, type.dtype, type.shape);
  });
  const outputs = g.apply(op, example.params as never, inputs);
  for (const pair of op.mutates?.(example.params as never) ?? []) g.becomes(inputs[pair.input]!, outputs[pair.output]!);
  const graph = g.finish(Object.fromEntries(outputs.map((value, i) => [`output${i}`, value])));
  const data = tensorsOf(example, dtype).map((tensor, i) => [inputs[i]!.id, tensor.data] as const);
  if (!outputs.some((value) => isFloat(value.dtype)) && dtype !== "f32") return undefined;
  return {
    title: `${example.op}: ${example.title}`,
    dtype,
    graph,
    data: new Map(data),
    regions: [[graph.nodes[0]!.id]],
    mustRefuse: false,
  };
}

/** Every op of the graph alone, and all of it as one. */
function fusedCase(title: string, dtype: DType, graph: Graph): ConformanceCase {
  const work = new Regions(graph).work.map((node) => node.id);
  const regions = [...work.map((id) => [id]), ...(work.length > 1 ? [work] : [])];
  return { title, dtype, graph, data: new Map(), regions, mustRefuse: false };
}

/** A linear of no rows. No graph of ours has such values, so it is made from one that has rows. */
function emptyBatch(dtype: DType): ConformanceCase {
  const g = new Words("empty");
  const y = g.linear(g.input("x", dtype, [2, 8]), g.weight("w", dtype, [16, 8]));
  const graph = g.finish({ y });
  const empty = (value: Value): Value => {
    const inside = producersOf(graph).has(value.id) || value.name === "x";
    return inside ? { ...value, shape: value.shape.with(0, 0) } : value;
  };
  const values = graph.values.map(empty);
  const single = fusedCase("a batch of no rows is refused", dtype, graph);
  return { ...single, graph: { ...graph, values }, mustRefuse: true };
}

interface Size {
  readonly rows: number;
  /** Of the hidden state; heads are two, groups are two. */
  readonly width: number;
}

const SIZES: readonly Size[] = [
  { rows: 1, width: 16 },
  { rows: 7, width: 52 },
  { rows: 67, width: 128 },
];

type Outputs = Readonly<Record<string, Value>>;
type Build = (g: Words, dtype: DType, size: Size) => Outputs;

/** Regions that providers may want as one, in the forms that models have. */
const FUSED: readonly (readonly [title: string, build: Build])[] = [
  ["linear, bias, gelu", (g, d, { rows, width }) => {
    const x = g.input("x", d, [1, rows, width]);
    return { y: g.geluTanh(g.linear(x, g.weight("w", d, [2 * width, width]), g.weight("b", d, [2 * width]))) };
  }],
  ["linear, gate, residual", (g, d, { rows, width }) => {
    const x = g.input("x", d, [1, rows, width]);
    const y = g.linear(x, g.weight("w", d, [width, width]), g.weight("b", d, [width]));
    return { y: g.add(g.input("residual", d, [1, rows, width]), g.mul(g.input("gate", d, [1, 1, width]), y)) };
  }],
  ["layer norm, modulation", (g, d, { rows, width }) => {
    const normed = g.layerNorm(g.input("x", d, [1, rows, width]), undefined, 1e-6);
    return { y: g.add(g.mul(normed, g.input("scale", d, [1, 1, width])), g.input("shift", d, [1, 1, width])) };
  }],
  ["qkv in one, head norm, rotation, attention", (g, d, { rows, width }) => {
    const heads = [1, rows, 2, width / 2];
    const x = g.input("x", d, [1, rows, width]);
    const qkv = g.linear(x, g.weight("w", d, [3 * width, width]), g.weight("b", d, [3 * width]));
    const [q, k, v] = g.split(qkv, -1, [width, width, width]).map((part) => g.reshape(part, heads));
    const [cos, sin] = ["cos", "sin"].map((name) => g.input(name, "f32", [rows, width / 4]));
    const turned = [q!, k!].map((part, i) =>
      g.rope(g.rmsNorm(part, g.weight(`n${i}`, d, [width / 2]), 1e-6), cos!, sin!, "interleaved"),
    );
    return { y: g.reshape(g.attention(turned[0]!, turned[1]!, v!), [1, rows, width]) };
  }],
  ["joint sequence read by one linear", (g, d, { rows, width }) => {
    const text = g.silu(g.input("text", d, [1, rows, width]));
    const image = g.linear(g.input("image", d, [1, 2 * rows, width]), g.weight("u", d, [width, width]));
    return { y: g.linear(g.concat([text, image], 1), g.weight("w", d, [width, width])) };
  }],
  ["attention and mlp side by side", (g, d, { rows, width }) => {
    const x = g.input("x", d, [1, rows, width]);
    const heads = g.reshape(x, [1, rows, 2, width / 2]);
    const mixed = g.reshape(g.attention(heads, heads, heads), [1, rows, width]);
    const inner = g.geluTanh(g.linear(x, g.weight("u", d, [2 * width, width])));
    return { y: g.linear(g.concat([mixed, inner], -1), g.weight("w", d, [width, 3 * width]), g.weight("b", d, [width])) };
  }],
  ["gated linear", (g, d, { rows, width }) => {
    const x = g.input("x", d, [rows, width]);
    const gate = g.geluTanh(g.linear(x, g.weight("w0", d, [width, width])));
    return { y: g.mul(gate, g.linear(x, g.weight("w1", d, [width, width]))) };
  }],
  ["group norm, silu, convolution, residual", (g, d, { rows, width }) => {
    const channels = width / 4;
    const x = g.input("x", d, [1, channels, rows, 9]);
    const normed = g.silu(g.groupNorm(x, g.weight("gw", d, [channels]), g.weight("gb", d, [channels]), channels > 4 ? channels : 2, 1e-6));
    const w = g.weight("w", d, [channels, channels, 3, 3]);
    return { y: g.add(x, g.conv2d(normed, w, g.weight("b", d, [channels]), { padding: 1 })) };
  }],
  ["convolution of whole channels between pointwise ops, residual", (g, d, { rows, width }) => {
    const channels = 8 * Math.ceil(width / 16);
    const [x, skip] = ([["x", channels], ["skip", channels + 8]] as const).map(([name, C]) => g.silu(g.input(name, d, [2, C, rows, 19]))); // prettier-ignore
    const [w, b] = [g.weight("w", d, [channels + 8, channels, 3, 3]), g.weight("b", d, [channels + 8])];
    return { y: g.tanh(g.add(skip!, g.conv2d(x!, w, b, { padding: 1 }))) };
  }],
  ["upsample, convolution", (g, d, { rows, width }) => {
    const x = g.upsampleNearest(g.input("x", d, [1, width / 4, rows, 5]), 2);
    return { y: g.conv2d(x, g.weight("w", d, [7, width / 4, 3, 3]), g.weight("b", d, [7]), { padding: 1 }) };
  }],
  ["upsample, convolution of whole channels between pointwise ops", (g, d, { rows, width }) => {
    const channels = 8 * Math.ceil(width / 16);
    const x = g.upsampleNearest(g.silu(g.input("x", d, [2, channels, rows, 19])), 2);
    const [w, b] = [g.weight("w", d, [channels + 8, channels, 3, 3]), g.weight("b", d, [channels + 8])];
    return { y: g.tanh(g.conv2d(x, w, b, { padding: 1 })) };
  }],
  ["image to tokens and back", (g, d, { rows, width }) => {
    const x = g.input("x", d, [1, width, rows, 3]);
    const tokens = g.transpose(g.reshape(x, [1, width, 3 * rows]), [0, 2, 1]);
    const y = g.linear(tokens, g.weight("w", d, [width, width]));
    return { y: g.add(x, g.reshape(g.transpose(y, [0, 2, 1]), [1, width, rows, 3])) };
  }],
  ["images to tokens, attention of one head, and back", (g, d, { rows, width }) => {
    const x = g.input("x", d, [2, width, rows, 3]);
    const tokens = g.transpose(g.reshape(x, [2, width, 3 * rows]), [0, 2, 1]);
    const qkv = g.linear(tokens, g.weight("w", d, [3 * width, width]), g.weight("b", d, [3 * width]));
    const [q, k, v] = g.split(qkv, -1, [width, width, width]).map((part) => g.reshape(part, [2, 3 * rows, 1, width]));
    const y = g.reshape(g.attention(q!, k!, v!), [2, 3 * rows, width]);
    return { y: g.add(x, g.reshape(g.transpose(y, [0, 2, 1]), [2, width, rows, 3])) };
  }],
  ["pixels with their channels innermost, read by a convolution", (g, d, { rows, width }) => {
    const channels = 8 * Math.ceil(width / 32);
    const x = g.transpose(g.silu(g.input("x", d, [2, rows, 19, channels])), [0, 3, 1, 2]);
    const [w, b] = [g.weight("w", d, [width, channels, 3, 3]), g.weight("b", d, [width])];
    return { y: g.tanh(g.conv2d(x, w, b, { padding: 1 })) };
  }],
  ["chain of pointwise ops with two results", (g, d, { rows, width }) => {
    const x = g.input("x", d, [rows, width]);
    const a = g.tanh(g.mul(g.add(x, g.input("row", d, [width])), 0.5));
    return { a, b: g.sub(g.silu(a), g.input("column", d, [rows, 1])) };
  }],
]; // prettier-ignore
