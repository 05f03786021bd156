// A region as an ONNX model. Weights are external initializers by name; what lies transposed in memory is declared as it
// lies and turned inside the model; windows of larger tensors are copied to and from dense ones.
import { isContiguous, sizeOf, type Shape } from "../../core/shape.js";
import type { Operand, Region } from "../../graph/region.js";
import type { Cannot } from "../provider.js";
import { Emitter, isOnnxDType } from "./emit.js";
import { LOWERINGS } from "./lowering.js";
import { encodeModel, type OnnxDType, type OnnxGraph, type OnnxInitializer, type OnnxValue } from "./onnx.js";
import { runsOf, type Runs } from "../native/runs.js";

/** A tensor at the model's border: which operand of the region it is, and its shape as declared. */
export interface Port {
  readonly index: number;
  readonly name: string;
  readonly dtype: OnnxDType;
  readonly shape: Shape;
  /** Set where the operand is a window, which a dense copy stands for. */
  readonly runs?: Runs;
}

export interface Exported {
  readonly graph: OnnxGraph;
  readonly inputs: readonly Port[];
  /** Weights: external initializers. */
  readonly weights: readonly Port[];
  readonly outputs: readonly Port[];
}

export function exportRegion(region: Region, options: Readonly<Record<string, unknown>> = {}): Exported | Cannot {
  const odd = region.nodes
    .flatMap((node) => [...node.inputs, ...node.outputs])
    .map((value) => region.graph.values[value]!.dtype)
    .find((dtype) => dtype === "bf16" || dtype === "f16" || !isOnnxDType(dtype));
  if (odd) return { cannot: `ONNX Runtime's CPU kernels do not compute in ${odd}` };
  const emit = new Emitter(region.graph, options);
  const [inputs, weights]: [Port[], Port[]] = [[], []];
  const initializers: OnnxInitializer[] = [];
  for (const [index, operand] of region.inputs.entries()) {
    const port = declare(emit, operand, index);
    if (!port)
      return { cannot: `ONNX Runtime reads dense tensors; ${showOperand(operand)} lies too scattered to copy` };
    const data = port.runs ? undefined : constantOf(region, operand, port);
    if (data) initializers.push(data);
    else if (operand.kind === "weight") {
      weights.push(port);
      initializers.push({ ...port, data: "external" });
    } else inputs.push(port);
  }
  for (const node of region.nodes) {
    const lowering = LOWERINGS[node.op];
    const answer = lowering ? lowering(emit, node) : { cannot: `no ONNX form of ${node.op} is known` };
    if (answer) return answer;
  }
  const outputs: Port[] = [];
  for (const [index, operand] of region.outputs.entries()) {
    const dense = isContiguous(operand.shape, operand.strides);
    const runs = dense ? undefined : runsOf(operand.shape, operand.strides);
    if (!dense && !runs) {
      return { cannot: `ONNX Runtime writes dense tensors; ${showOperand(operand)} lies too scattered to copy` };
    }
    outputs.push({ index, ...emit.value(operand.value), ...(runs && { runs }) });
  }
  const plain = ({ name, dtype, shape }: Port): OnnxValue => ({ name, dtype, shape });
  const graph: OnnxGraph = {
    name: region.graph.name,
    inputs: inputs.map(plain),
    outputs: outputs.map(plain),
    initializers: [...initializers, ...emit.initializers],
    nodes: emit.nodes,
  };
  return { graph, inputs, weights, outputs };
}

export const encodeExported = ({ graph }: Exported): Uint8Array => encodeModel(graph);

/** A constant of the graph itself, which a model may hold and fold. */
function constantOf({ graph }: Region, { value }: Operand, { name, dtype, shape }: Port): OnnxInitializer | undefined {
  const source = graph.sources.get(value);
  if (source?.kind !== "constant" || (dtype !== "f32" && dtype !== "i32")) return undefined;
  const numbers = dtype === "f32" ? Float32Array.from(source.data) : Int32Array.from(source.data);
  return { name, dtype, shape, data: new Uint8Array(numbers.buffer) };
}

/** Declares an operand as it lies in memory: turned into its own shape first thing if transposed, a copy if a window. */
function declare(emit: Emitter, operand: Operand, index: number): Port | undefined {
  const { name, dtype, shape } = emit.value(operand.value);
  const order = memoryOrder(operand);
  if (!order) {
    const runs = operand.kind === "weight" ? undefined : runsOf(shape, operand.strides);
    return runs && { index, name, dtype, shape, runs };
  }
  if (order.every((dim, d) => dim === d)) return { index, name, dtype, shape };
  const lying = `${name}_lying`;
  emit.transpose(lying, shape.map((_, d) => order.indexOf(d)), name); // prettier-ignore
  return { index, name: lying, dtype, shape: order.map((d) => shape[d]!) };
}

/** Dims from outermost to innermost of a dense operand; undefined where elements of others lie in between. */
function memoryOrder({ shape, strides }: Operand): readonly number[] | undefined {
  if (isContiguous(shape, strides)) return shape.map((_, d) => d);
  const large = shape.map((_, d) => d).filter((d) => shape[d] !== 1);
  const order = large.toSorted((a, b) => strides[b]! - strides[a]!);
  let step = 1;
  for (const d of order.toReversed()) {
    if (strides[d] !== step) return undefined;
    step *= shape[d]!;
  }
  const ones = shape.map((_, d) => d).filter((d) => shape[d] === 1);
  return step === sizeOf(shape) ? [...ones, ...order] : undefined;
}

const showOperand = ({ shape, strides }: Operand): string =>
  `[${shape.join(", ")}] with strides [${strides.join(", ")}]`;
