// A graph as text: sources, then one line a node with the names and types of what it makes, then outputs and states.
import { producersOf, type Graph, type Node, type Params, type Source, type TensorType, type ValueId } from "./node.js";

/** For people and golden tests; `%7` is value 7, an alternative producer says so. */
export function printGraph(graph: Graph): string {
  const values = new Map(graph.values.map((value) => [value.id, value]));
  const producers = producersOf(graph);
  const named = (id: ValueId): string => `%${id} ${values.get(id)?.name ?? "?"}`;
  const typed = (id: ValueId): string => `${named(id)}: ${values.has(id) ? showType(values.get(id)!) : "?"}`;
  const call = (node: Node): string => {
    const inputs = node.inputs.map((id) => `%${id}`).join(", ");
    return `${node.outputs.map(typed).join(", ")} = ${node.op}(${inputs})${showParams(node.params)}`;
  };
  return [
    `graph ${graph.name}`,
    ...[...graph.sources].map(([id, source]) => `  ${typed(id)} = ${showSource(source)}`),
    ...graph.nodes.map((node) => {
      const plain = node.outputs.some((id) => producers.get(id)![0] === node);
      return `  ${call(node)}${plain ? "" : "  # alternative"}`;
    }),
    ...graph.states.map((state) => `  state ${state.name}: ${named(state.from)} becomes ${named(state.to)}`),
    ...graph.outputs.map((output) => `  output ${output.name} = ${named(output.value)}`),
    "",
  ].join("\n");
}

export const showType = (type: TensorType): string => `${type.dtype}[${type.shape.join(", ")}]`;

/** ` {scale: 0.125, causal: false}`, or nothing for an op without parameters. */
export function showParams(params: Params): string {
  const entries = Object.entries(params).map(([key, value]) => `${key}: ${JSON.stringify(value)}`);
  return entries.length === 0 ? "" : ` {${entries.join(", ")}}`;
}

function showSource(source: Source): string {
  switch (source.kind) {
    case "input":
    case "state":
      return `${source.kind} ${source.name}`;
    case "weight":
      return `weight ${source.tensors.join(" + ")}`;
    case "constant": {
      const few = source.data.slice(0, 6).join(", ");
      return `constant [${few}${source.data.length > 6 ? `, … ${source.data.length} in all` : ""}]`;
    }
    default:
      return source satisfies never;
  }
}
