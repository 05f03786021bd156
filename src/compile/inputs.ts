// Inputs to time a component with: normal numbers where it takes floats, zeros where it takes indices.
import { dtypeBytes, isFloat, writeElement } from "../core/dtype.js";
import { fillNormal } from "../core/philox.js";
import { sizeOf } from "../core/shape.js";
import type { Graph, ValueId } from "../graph/node.js";
import type { Session } from "../session/session.js";

const SEED = 20_011;

/** What an input or a state of the graph is filled with, row-major, before it is rounded to its dtype. */
export function inputNumbers(graph: Graph, id: ValueId): Float32Array {
  const { dtype, shape } = graph.values[id]!;
  const numbers = new Float32Array(sizeOf(shape));
  if (isFloat(dtype)) fillNormal(numbers, SEED, id);
  return numbers;
}

/** Fills every input and state, the same for every session of the graph. */
export function fillInputs(graph: Graph, session: Session): void {
  for (const [id, source] of graph.sources) {
    if (source.kind !== "input" && source.kind !== "state") continue;
    const { dtype, shape } = graph.values[id]!;
    const bytes = new Uint8Array(sizeOf(shape) * dtypeBytes(dtype));
    const view = new DataView(bytes.buffer);
    if (isFloat(dtype)) inputNumbers(graph, id).forEach((x, i) => writeElement(view, dtype, i, x));
    session.write(source.name, bytes);
  }
}
