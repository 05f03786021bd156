// Adds lowered alternatives: the heavy ops of an f32 graph once more in bf16, between casts, and linear layers of any
// graph on 8-bit integers. They are equal in meaning only up to their class's error, so this is no pass that every graph
// goes through: whoever runs it says, by what he lets plans choose, how much error he takes.
import type { DType } from "../core/dtype.js";
import { producersOf, type Graph, type Node, type Source, type ValueId } from "../graph/node.js";
import { attention } from "../graph/op/attention.js";
import { linear, matmul } from "../graph/op/contraction.js";
import { conv2d } from "../graph/op/conv.js";
import { cast } from "../graph/op/elementwise.js";
import { linearI8 } from "../graph/op/quantized.js";
import { opOf } from "../graph/ops.js";
import { GraphEdit } from "./edit.js";

export const PRECISION_CLASSES = ["bf16", "i8"] as const;
export type PrecisionClass = (typeof PRECISION_CLASSES)[number];

const HEAVY: ReadonlySet<string> = new Set([linear.name, matmul.name, attention.name, conv2d.name]);

/** Whether a node is one that this pass gives alternatives to, or such an alternative's own product. */
export const isHeavy = ({ op }: Node): boolean => HEAVY.has(op) || op === linearI8.name;

/** The class of an alternative's product; undefined for plain nodes. */
export function classOf(graph: Graph, node: Node): PrecisionClass | undefined {
  if (node.op === linearI8.name) return "i8";
  return HEAVY.has(node.op) && castBack(graph).has(node.outputs[0]!) ? "bf16" : undefined;
}

const CAST_BACK = new WeakMap<Graph, ReadonlySet<ValueId>>();

/** The values that a cast makes an alternative of: a model that is bf16 itself has none. */
function castBack(graph: Graph): ReadonlySet<ValueId> {
  const known = CAST_BACK.get(graph);
  if (known) return known;
  const producers = producersOf(graph);
  const casts = graph.nodes.filter((node) => node.op === cast.name && producers.get(node.outputs[0]!)![0] !== node);
  const found = new Set(casts.map(({ inputs }) => inputs[0]!));
  CAST_BACK.set(graph, found);
  return found;
}

/** The same graph with alternatives of these classes behind every heavy node; bf16 nodes get no others of bf16. */
export function lowerPrecision(graph: Graph, classes: readonly PrecisionClass[]): Graph {
  const edit = new GraphEdit(graph);
  const producers = producersOf(graph);
  const lowered = new Map<ValueId, ValueId>();
  for (const node of graph.nodes) {
    const [result] = node.outputs as [ValueId];
    const isPlain = producers.get(result)![0] === node;
    if (!HEAVY.has(node.op) || !isPlain) continue;
    const weight = graph.sources.get(node.inputs[1]!)?.kind;
    if (classes.includes("i8") && node.op === linear.name && weight === "weight")
      edit.insertAfter(node, edit.draft(linearI8, {}, node.inputs, node.outputs, `${node.name}.i8`));
    if (classes.includes("bf16") && graph.values[result]!.dtype === "f32") inBf16(graph, edit, node, lowered);
  }
  return edit.finish();
}

/** Casts of what it reads, shared by all readers; weights are read in bf16 from the start. */
function inBf16(graph: Graph, edit: GraphEdit, node: Node, lowered: Map<ValueId, ValueId>): void {
  const inputs = node.inputs.map((value): ValueId => {
    const known = lowered.get(value);
    if (known !== undefined) return known;
    const made = narrowed(graph, edit, node, value, "bf16");
    lowered.set(value, made);
    return made;
  });
  const [result] = node.outputs as [ValueId];
  const { shape } = graph.values[result]!;
  const narrow = edit.value({ dtype: "bf16", shape }, `${node.name}.bf16`);
  edit.insertAfter(node, edit.draft(opOf(node), node.params, inputs, [narrow.id], `${node.name}.bf16`));
  edit.insertAfter(node, edit.draft(cast, { to: "f32" }, [narrow.id], node.outputs, `${node.name}.bf16.f32`));
}

function narrowed(graph: Graph, edit: GraphEdit, node: Node, value: ValueId, dtype: DType): ValueId {
  const { shape, name } = graph.values[value]!;
  const source: Source | undefined = graph.sources.get(value);
  if (source?.kind === "weight") return edit.source(source, { dtype, shape }, `${name}.${dtype}`).id;
  const made = edit.value({ dtype, shape }, `${name}.${dtype}`);
  edit.insertAfter(node, edit.draft(cast, { to: dtype }, [value], [made.id], `${name}.${dtype}`));
  return made.id;
}
