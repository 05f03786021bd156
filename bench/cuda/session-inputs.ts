// What a component of the bench is fed with: normal numbers where it takes floats, zeros where it takes indices.
import { dtypeBytes, isFloat, writeElement } from "../../src/core/dtype.js";
import { fillNormal } from "../../src/core/philox.js";
import { sizeOf } from "../../src/core/shape.js";
import type { Graph } from "../../src/graph/node.js";
import type { Session } from "../../src/session/session.js";

/** Numbers of an input that are its own; more repeat them. */
const DISTINCT = 2 ** 20;
const SEED = 20_011;

export function fillInputs(graph: Graph, session: Session): void {
  for (const [id, source] of graph.sources) {
    if (source.kind !== "input") continue;
    const { dtype, shape } = graph.values[id]!;
    const bytes = Buffer.alloc(sizeOf(shape) * dtypeBytes(dtype));
    if (isFloat(dtype)) {
      const own = new Float32Array(Math.min(DISTINCT, sizeOf(shape)));
      fillNormal(own, SEED, id);
      const block = Buffer.alloc(own.length * dtypeBytes(dtype));
      const view = new DataView(block.buffer, block.byteOffset, block.byteLength);
      own.forEach((x, i) => writeElement(view, dtype, i, x));
      for (let at = 0; at < bytes.length; at += block.length) bytes.set(block.subarray(0, bytes.length - at), at);
    }
    session.write(source.name, bytes);
  }
}
