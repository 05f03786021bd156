// The passes over a graph, in order.
import type { Graph } from "../graph/node.js";
import { materialize } from "../graph/storage.js";

export const rewriteGraph = (graph: Graph): Graph => materialize(graph);
