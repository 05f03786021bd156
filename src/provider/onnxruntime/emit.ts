// Collects ONNX nodes while graph ops are written down in ONNX's words: names, constants, intermediate values.
import { sizeOf, type Shape } from "../../core/shape.js";
import type { Graph, Node, ValueId } from "../../graph/node.js";
import type { Cannot } from "../provider.js";
import {
  ONNX_DTYPE,
  type Attribute,
  type OnnxDType,
  type OnnxInitializer,
  type OnnxNode,
  type OnnxValue,
} from "./onnx.js";

/** How one graph op is written; "cannot" where ONNX or its CPU kernels lack it. */
export type Lowering = (emit: Emitter, node: Node) => Cannot | void;

export interface EmitOptions {
  readonly domain?: string;
  readonly attributes?: Readonly<Record<string, Attribute>>;
  /** The name of the result; by default a new one. */
  readonly to?: string;
}

export const MICROSOFT = "com.microsoft";
const MEGABYTE = 2 ** 20;

export class Emitter {
  readonly nodes: OnnxNode[] = [];
  readonly initializers: OnnxInitializer[] = [];
  readonly #graph: Graph;
  readonly #constants = new Map<string, string>();
  /** Choices between several writings of an op. */
  readonly options: Readonly<Record<string, unknown>>;
  #count = 0;

  constructor(graph: Graph, options: Readonly<Record<string, unknown>> = {}) {
    this.#graph = graph;
    this.options = options;
  }

  name(value: ValueId): string {
    return `v${value}`;
  }

  /** Input `index` of a node. */
  in(node: Node, index: number): string {
    return this.name(node.inputs[index]!);
  }

  out(node: Node): string {
    return this.name(node.outputs[0]!);
  }

  shape(node: Node, index: number): Shape {
    return this.#graph.values[node.inputs[index]!]!.shape;
  }

  outShape(node: Node): Shape {
    return this.#graph.values[node.outputs[0]!]!.shape;
  }

  dtype(value: ValueId): OnnxDType {
    return this.#graph.values[value]!.dtype as OnnxDType;
  }

  /** Appends a node of one result and returns the result's name. */
  op(op: string, inputs: readonly string[], { domain, attributes, to }: EmitOptions = {}): string {
    const output = to ?? this.fresh(op);
    this.nodes.push({
      op,
      inputs,
      outputs: [output],
      ...(domain ? { domain } : {}),
      ...(attributes ? { attributes } : {}),
    });
    return output;
  }

  reshape(x: string, shape: Shape, to?: string): string {
    return this.op("Reshape", [x, this.int64(shape)], to ? { to } : {});
  }

  transpose(x: string, perm: readonly number[], to?: string): string {
    return this.op("Transpose", [x], { attributes: { perm: { ints: perm } }, ...(to ? { to } : {}) });
  }

  /** A vector of int64. */
  int64(values: readonly number[]): string {
    return this.#constant("i64", [values.length], new Uint8Array(BigInt64Array.from(values, BigInt).buffer));
  }

  int32(values: readonly number[], shape: Shape): string {
    return this.#constant("i32", shape, new Uint8Array(Int32Array.from(values).buffer));
  }

  float32(values: readonly number[] | Float32Array, shape: Shape): string {
    return this.#constant("f32", shape, new Uint8Array(Float32Array.from(values).buffer));
  }

  /** A constant of one value repeated. */
  filled(value: number, shape: Shape): string {
    return this.float32(new Float32Array(sizeOf(shape)).fill(value), shape);
  }

  fresh(stem: string): string {
    return `${stem}_${this.#count++}`;
  }

  value(id: ValueId, shape: Shape = this.#graph.values[id]!.shape): OnnxValue {
    return { name: this.name(id), dtype: this.dtype(id), shape };
  }

  #constant(dtype: OnnxDType, shape: Shape, data: Uint8Array): string {
    const key = data.length < MEGABYTE ? `${dtype} ${shape.join()} ${Buffer.from(data).toString("base64")}` : undefined;
    const known = key && this.#constants.get(key);
    if (known) return known;
    const name = this.fresh("c");
    this.initializers.push({ name, dtype, shape, data });
    if (key) this.#constants.set(key, name);
    return name;
  }
}

export const isOnnxDType = (dtype: string): dtype is OnnxDType => dtype in ONNX_DTYPE;
