// What doing without a provider would cost, from records of all and from records that a tune cut short left.
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { compileComponents } from "../src/compile/compile.js";
import { openMachine } from "../src/compile/machine.js";
import { planWithout } from "../src/compile/without.js";
import { Words } from "../src/graph/words.js";
import { Regions } from "../src/graph/region.js";
import { PROVIDERS } from "../src/provider/open.js";
import { RecordStore } from "../src/tuner/records/records.js";
import { memoryStore } from "../src/weights/memory.js";

const earlier = process.env.TROUPE_CACHE;
const folder = (process.env.TROUPE_CACHE = await mkdtemp(join(tmpdir(), "troupe-without-")));
after(async () => {
  if (earlier === undefined) delete process.env.TROUPE_CACHE;
  else process.env.TROUPE_CACHE = earlier;
  await rm(folder, { recursive: true, force: true });
});

test("a provider that is alone in a record is done without by the rules for the others", async () => {
  const url = new URL("./providers/versioned/provider.js", import.meta.url);
  url.search = new URLSearchParams({ name: "other", version: "1", log: join(folder, "log") }).toString();
  const reference = PROVIDERS.filter(({ name }) => name === "reference");
  using machine = await openMachine({ threads: 1, specs: [...reference, { name: "other", module: url.href }] });
  const g = new Words("small");
  const graph = g.finish({ y: g.silu(g.input("x", "f32", [4, 8])) });
  const component = { name: "small", graph, weights: memoryStore({}), runs: 1 };
  const [compiled] = await compileComponents(machine, [component], { effort: "quick" });
  const { signature } = new Regions(compiled!.graph).region([compiled!.graph.nodes[0]!.id]);

  const { ratio, unmeasured, difference } = await planWithout(machine, compiled!, "other");
  assert.ok(ratio! > 0 && unmeasured === 0);
  assert.ok(difference.changes.length <= 1);

  const store = new RecordStore(machine.device.target);
  const record = store.get(signature, 1, machine.versions)!;
  store.add({ ...record, measurements: record.measurements.filter(({ candidate }) => candidate.provider === "other") });
  const cut = await planWithout(machine, compiled!, "other");
  assert.deepEqual(cut.difference.changes.map(({ before, after }) => [before, after].map((side) => side.map(({ provider }) => provider))), [[["other"], ["reference"]]]); // prettier-ignore
  assert.equal(cut.unmeasured, 1);
  assert.equal(cut.ratio, undefined);
});
