// ONNX models as bytes: plain data in, a ModelProto out. Large weights stay where they are: an initializer may be
// declared external, and the session is given its memory by name.
import type { Shape } from "../../core/shape.js";
import { Message } from "./protobuf.js";

/** Element types and their numbers in TensorProto.DataType. */
export const ONNX_DTYPE = {
  f32: 1, u8: 2, i8: 3, i32: 6, i64: 7, bool: 9, f16: 10, f64: 11, bf16: 16,
} as const; // prettier-ignore
export type OnnxDType = keyof typeof ONNX_DTYPE;

export type Attribute =
  | { readonly int: number }
  | { readonly ints: readonly number[] }
  | { readonly float: number }
  | { readonly floats: readonly number[] }
  | { readonly string: string };

export interface OnnxNode {
  readonly op: string;
  /** "" is ONNX's own set; "com.microsoft" ONNX Runtime's additions. */
  readonly domain?: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes?: Readonly<Record<string, Attribute>>;
}

export interface OnnxValue {
  readonly name: string;
  readonly dtype: OnnxDType;
  readonly shape: Shape;
}

/** Where a weight's bytes lie in a file beside the model. */
export interface OnnxFileData {
  readonly file: string;
  readonly offsetBytes: number;
  readonly bytes: number;
}

/** A constant: bytes in row-major order, external memory that the session is told of, or a file beside the model. */
export interface OnnxInitializer extends OnnxValue {
  readonly data: Uint8Array | "external" | OnnxFileData;
}

export interface OnnxGraph {
  readonly name: string;
  readonly inputs: readonly OnnxValue[];
  readonly outputs: readonly OnnxValue[];
  readonly initializers: readonly OnnxInitializer[];
  readonly nodes: readonly OnnxNode[];
}

/** The first opset whose Gelu, LayerNormalization and GroupNormalization are the ones meant here. */
export const OPSET = 21;
const IR_VERSION = 10;

/** Serializes a graph; opset 21 and the com.microsoft set. */
export function encodeModel(graph: OnnxGraph, opset = OPSET): Uint8Array {
  return new Message()
    .int(1, IR_VERSION)
    .string(2, "troupe")
    .message(7, encodeGraph(graph))
    .message(8, new Message().string(1, "").int(2, opset))
    .message(8, new Message().string(1, "com.microsoft").int(2, 1))
    .finish();
}

function encodeGraph(graph: OnnxGraph): Message {
  const out = new Message();
  for (const node of graph.nodes) out.message(1, encodeNode(node));
  out.string(2, graph.name);
  for (const initializer of graph.initializers) out.message(5, encodeInitializer(initializer));
  for (const value of graph.inputs) out.message(11, encodeValue(value));
  for (const value of graph.outputs) out.message(12, encodeValue(value));
  return out;
}

function encodeNode(node: OnnxNode): Message {
  const out = new Message();
  for (const input of node.inputs) out.string(1, input);
  for (const output of node.outputs) out.string(2, output);
  out.string(4, node.op);
  for (const [name, attribute] of Object.entries(node.attributes ?? {}))
    out.message(5, encodeAttribute(name, attribute));
  if (node.domain) out.string(7, node.domain);
  return out;
}

/** AttributeProto; the type field names which of the values is meant. */
function encodeAttribute(name: string, attribute: Attribute): Message {
  const out = new Message().string(1, name);
  if ("int" in attribute) return out.int(3, attribute.int).int(20, 2);
  if ("ints" in attribute) return out.ints(8, attribute.ints).int(20, 7);
  if ("float" in attribute) return out.float(2, attribute.float).int(20, 1);
  if ("string" in attribute) return out.string(4, attribute.string).int(20, 3);
  return out.bytes(7, new Uint8Array(Float32Array.from(attribute.floats).buffer)).int(20, 6);
}

const EXTERNAL = 1;

function encodeInitializer(initializer: OnnxInitializer): Message {
  const out = new Message();
  for (const dim of initializer.shape) out.int(1, dim);
  out.int(2, ONNX_DTYPE[initializer.dtype]).string(8, initializer.name);
  const { data } = initializer;
  if (data instanceof Uint8Array) return out.bytes(9, data);
  const entry = (key: string, value: string): Message => new Message().string(1, key).string(2, value);
  if (data === "external") return out.message(13, entry("location", "memory")).int(14, EXTERNAL);
  return out
    .message(13, entry("location", data.file))
    .message(13, entry("offset", String(data.offsetBytes)))
    .message(13, entry("length", String(data.bytes)))
    .int(14, EXTERNAL);
}

function encodeValue(value: OnnxValue): Message {
  const shape = new Message();
  for (const dim of value.shape) shape.message(1, new Message().int(1, dim));
  const tensor = new Message().int(1, ONNX_DTYPE[value.dtype]).message(2, shape);
  return new Message().string(1, value.name).message(2, new Message().message(1, tensor));
}
