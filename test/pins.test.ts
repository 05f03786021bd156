// Hand-written pins from file to plan: by rules and by measuring, an op goes to the provider named and no other moves.
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { compileComponents } from "../src/compile/compile.js";
import { openMachine, type Machine } from "../src/compile/machine.js";
import { Words } from "../src/graph/words.js";
import { PROVIDERS, type ProviderSpec } from "../src/provider/open.js";
import { memoryStore } from "../src/weights/memory.js";

const variables = ["TROUPE_CACHE", "TROUPE_RECORDS"] as const;
const earlier = variables.map((name) => process.env[name]);
let folder = "";
let machine: Machine;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "troupe-pins-"));
  process.env.TROUPE_CACHE = folder;
  process.env.TROUPE_RECORDS = join(folder, "project", "records.jsonl");
  const url = new URL("./providers/versioned/provider.js", import.meta.url);
  url.search = new URLSearchParams({ name: "other", version: "1", log: join(folder, "log") }).toString();
  const other: ProviderSpec = { name: "other", module: url.href };
  machine = await openMachine({ threads: 1, specs: [...PROVIDERS.filter(({ name }) => name === "reference"), other] });
});
after(async () => {
  machine[Symbol.dispose]();
  for (const [i, name] of variables.entries())
    if (earlier[i] === undefined) delete process.env[name];
    else process.env[name] = earlier[i];
  await rm(folder, { recursive: true, force: true });
});

async function compile(effort: "none" | "full") {
  const g = new Words("small");
  const x = g.input("x", "f32", [4, 8]);
  const graph = g.finish({ y: g.add(g.silu(g.add(x, x)), g.geluTanh(x)) });
  const notes: string[] = [];
  const [made] = await compileComponents(machine, [{ name: "small", graph, weights: memoryStore({}), runs: 1 }], {
    effort,
    again: true,
    onEvent: (event) => event.kind === "note" && notes.push(event.text),
  });
  const { steps } = made!.plan;
  const by = Object.fromEntries(
    steps.map(({ choice, ...step }) => [step.kind === "region" ? step.nodes.map((id) => made!.graph.nodes[id]!.name).join() : "", choice.provider]), // prettier-ignore
  );
  return { by, notes, plan: made!.plan };
}

const pin = (...lines: readonly object[]): Promise<void> =>
  writeFile(process.env.TROUPE_RECORDS!, lines.map((line) => `${JSON.stringify(line)}\n`).join(""));

test("by rules", async () => {
  const { by: free, notes } = await compile("none");
  assert.deepEqual(notes, []);
  assert.deepEqual(new Set(Object.values(free)), new Set(["other"]));
  await pin({ pin: "silu", provider: "reference" });
  const { by: pinned } = await compile("none");
  const silu = Object.keys(free).find((name) => name.includes("silu"))!;
  assert.deepEqual(pinned, { ...free, [silu]: "reference" });
});

test("by measuring, whatever the times, and the stored plan remembers what could not be done", async () => {
  const unmet = { pin: "gelu_tanh", provider: "abacus" };
  await pin({ pin: "silu", provider: "other" }, unmet, { pin: "conv2d", provider: "other" });
  const { by, notes, plan } = await compile("full");
  assert.equal(Object.entries(by).find(([name]) => name.includes("silu"))?.[1], "other");
  assert.ok(
    notes.some((note) => /jsonl:2 .*abacus is not here/.test(note)),
    notes.join("\n"),
  );
  assert.ok(
    notes.some((note) => /jsonl:3 .*matches nothing of this model/.test(note)),
    notes.join("\n"),
  );
  assert.match(plan.notes.join("\n"), /abacus is not here/);
  await pin({ pin: "silu", provider: "other" }, { pin: "silu", provider: "reference" });
  await assert.rejects(compile("none"), /jsonl:1 .*jsonl:2 .*contradict/);
});
