// The way of a graph from a model to planning: named passes in order, each a pure function from graph to graph. The
// first ones make it fit; the later ones add alternatives that plans choose among.
import { debug } from "../core/debug.js";
import type { Graph } from "../graph/node.js";
import { materialize } from "../graph/storage.js";
import { dropDead } from "./drop-dead.js";
import { foldConstants } from "./fold-constants.js";
import { mergeLinears } from "./merge-linears.js";

export interface Pass {
  readonly name: string;
  readonly run: (graph: Graph) => Graph;
}

export const PASSES: readonly Pass[] = [
  { name: "drop dead", run: dropDead },
  { name: "fold constants", run: foldConstants },
  { name: "materialize", run: materialize },
  { name: "merge linears", run: mergeLinears },
];

/** A graph ready for `Regions`: every view has a window, and alternatives stand beside the plain producers. */
export const rewriteGraph = (graph: Graph, passes: readonly Pass[] = PASSES): Graph =>
  passes.reduce((current, { name, run }) => {
    const next = run(current);
    debug(6, () => `${graph.name}: ${name}: ${current.nodes.length} → ${next.nodes.length} nodes`);
    return next;
  }, graph);
