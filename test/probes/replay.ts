// The other process of a probe: revives a stored plan of the slice from a folder, runs it on the inputs that lie there,
// and leaves the outputs beside them. Nothing is asked of providers but to revive, nothing is measured.
// usage: node replay.js FOLDER DTYPE
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { openMachine } from "../../src/compile/machine.js";
import type { DType } from "../../src/core/dtype.js";
import { graphHash } from "../../src/plan/assemble.js";
import { openPlan } from "../../src/plan/store.js";
import { rewriteGraph } from "../../src/rewrite/passes.js";
import { Session } from "../../src/session/session.js";
import { openSlice } from "./flux-slice.js";

const [folder, dtype] = process.argv.slice(2) as [string, DType];
const slice = await openSlice(dtype);
const graph = rewriteGraph(slice.graph);
const machine = await openMachine({ threads: 2 });
const plan = await openPlan(join(folder, "plan.json"), {
  graphHash: graphHash(graph),
  target: machine.device.target,
  versions: Object.fromEntries(machine.opened.providers.map(({ name, version }) => [name, version])),
});
const session = await Session.load({
  graph,
  plan,
  providers: machine.providers,
  device: machine.device,
  weights: slice.weights,
});
for (const source of graph.sources.values())
  if (source.kind === "input") session.write(source.name, await readFile(join(folder, `in.${source.name}`)));
await session.run();
for (const { name } of graph.outputs) await writeFile(join(folder, `out.${name}`), session.read(name));
session.dispose();
machine[Symbol.dispose]();
await slice.close();
