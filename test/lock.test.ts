// A lock from file to kernels: replayed it is the very plan; what cannot be honoured is named and falls back for that op
// alone, or is an error when strict.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { compileComponents } from "../src/compile/compile.js";
import type { CompiledComponent, Component } from "../src/compile/component.js";
import { planOf } from "../src/compile/contenders.js";
import { isLowered, proposeParts } from "../src/compile/lowered.js";
import { openMachine, type Machine } from "../src/compile/machine.js";
import { ruleRecords } from "../src/compile/rules.js";
import { TroupeError } from "../src/core/error.js";
import { Regions } from "../src/graph/region.js";
import { Words } from "../src/graph/words.js";
import { graphHash } from "../src/plan/assemble.js";
import { parseLock, readLock, saveLock, type Lock } from "../src/plan/lock.js";
import type { Plan, RegionStep } from "../src/plan/plan.js";
import { select } from "../src/plan/select.js";
import { PROVIDERS, type ProviderSpec } from "../src/provider/open.js";
import { lowerPrecision } from "../src/rewrite/lower-precision.js";
import { rewriteGraph } from "../src/rewrite/passes.js";
import { memoryStore, tensorOf } from "../src/weights/memory.js";

const cacheBefore = process.env.TROUPE_CACHE;
let folder = "";
let machine: Machine;
let made: CompiledComponent;
let lock: Lock;

const other = (version: string): ProviderSpec => {
  const url = new URL("./providers/versioned/provider.js", import.meta.url);
  url.search = new URLSearchParams({ name: "other", version, log: join(folder, "log") }).toString();
  return { name: "other", module: url.href };
};
const reference = PROVIDERS.filter(({ name }) => name === "reference");

function component(rows = 4): Component {
  const g = new Words("small");
  const x = g.input("x", "f32", [rows, 8]);
  const graph = g.finish({ y: g.add(g.silu(g.add(x, x)), g.geluTanh(x)) });
  return { name: "small", graph, weights: memoryStore({}), runs: 1 };
}

async function replay(on: Machine, of: Lock, strict = false, what = component()) {
  const notes: string[] = [];
  const [compiled] = await compileComponents(on, [what], {
    effort: "none",
    lock: { lock: of, file: "l.json", strict },
    onEvent: (event) => event.kind === "note" && notes.push(event.text),
  });
  return { compiled: compiled!, notes: notes.join("\n") };
}

const refused =
  (says: RegExp) =>
  (error: unknown): boolean => {
    assert.ok(error instanceof TroupeError);
    assert.equal(error.code, "plan");
    assert.match(error.message, says);
    return true;
  };

/** The lock with one step's choice changed. */
const withChoice = (at: number, change: object): Lock => ({
  ...lock,
  plans: lock.plans.map((plan): Plan => ({
    ...plan,
    steps: plan.steps.map((step, i) => (i === at ? ({ ...step, choice: { ...step.choice, ...change } } as RegionStep) : step)),
  })),
}); // prettier-ignore

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "troupe-lock-"));
  process.env.TROUPE_CACHE = folder;
  machine = await openMachine({ threads: 1, specs: [...reference, other("1")] });
  [made] = (await compileComponents(machine, [component()], { effort: "none" })) as [CompiledComponent];
  lock = { about: { model: "small", dtype: "f32" }, plans: [made.plan] };
});
after(async () => {
  machine[Symbol.dispose]();
  if (cacheBefore === undefined) delete process.env.TROUPE_CACHE;
  else process.env.TROUPE_CACHE = cacheBefore;
  await rm(folder, { recursive: true, force: true });
});

describe("a lock", () => {
  it("comes back as it was, in equal bytes each time, and is the plan when replayed", async () => {
    const file = join(folder, "l.json");
    await saveLock(lock, file);
    const text = await readFile(file, "utf8");
    const again = await readLock(file);
    assert.deepEqual(again, JSON.parse(JSON.stringify(lock)));
    await saveLock(again, file);
    assert.equal(await readFile(file, "utf8"), text);
    const { compiled, notes } = await replay(machine, again, true);
    assert.equal(compiled.origin, "locked");
    assert.deepEqual(JSON.parse(JSON.stringify(compiled.plan)), again.plans[0]);
    assert.equal(notes, "");
  });

  it("names a choice that cannot be honoured and who computes the op instead; no other choice moves", async () => {
    const lost = withChoice(1, { provider: "gone" });
    const { compiled, notes } = await replay(machine, lost);
    assert.match(
      notes,
      /small: .* by gone float64: .*needs provider gone, which is not here; now by (other|reference) /,
    );
    assert.match(compiled.plan.notes.join(), /gone/);
    const of = ({ steps }: Plan, without: number) =>
      steps.flatMap((step, i) => (i === without || step.kind !== "region" ? [] : [`${step.nodes.join()} ${step.choice.provider}`])); // prettier-ignore
    const victim = (made.plan.steps[1] as RegionStep).nodes.join();
    const at = compiled.plan.steps.findIndex((step) => step.kind === "region" && step.nodes.join() === victim);
    assert.deepEqual(of(compiled.plan, at).toSorted(), of(made.plan, 1).toSorted());
    await assert.rejects(replay(machine, lost, true), refused(/l\.json cannot be honoured: small: .* by gone/));
  });

  it("made for another graph, machine or version says so", async () => {
    const another = await replay(machine, lock, false, component(6));
    assert.match(
      another.notes,
      /small: it was locked for another graph of small \(small, f32\); it is compiled without/,
    );
    assert.equal(another.compiled.origin, "rules");
    await assert.rejects(replay(machine, lock, true, component(6)), refused(/another graph of small/));
    const [plan] = lock.plans as [Plan];
    const elsewhere = { ...lock, plans: [{ ...plan, target: { ...plan.target, hardware: "abacus" } }] };
    const { compiled, notes } = await replay(machine, elsewhere);
    assert.match(notes, /it was locked for hardware abacus, here it is/);
    assert.deepEqual(compiled.plan.steps, made.plan.steps);
    await assert.rejects(replay(machine, elsewhere, true), refused(/hardware abacus/));
    using newer = await openMachine({ threads: 1, specs: [...reference, other("2")] });
    assert.match((await replay(newer, lock)).notes, /it was locked with other 1, here it is 2/);
    await assert.rejects(replay(newer, lock, true), refused(/with other 1, here it is 2/));
  });

  it("of lower precision is replayed on the graph that it means; a choice that is lost falls back to full precision", async () => {
    const g = new Words("layer");
    const y = g.linear(g.input("x", "f32", [4, 8]), g.weight("w", "f32", [6, 8]));
    const weights = memoryStore({
      w: tensorOf(
        "f32",
        [6, 8],
        Float64Array.from({ length: 48 }, (_, i) => Math.sin(i)),
      ),
    });
    const layer = { name: "layer", graph: g.finish({ y }), weights, runs: 1 };
    const graph = lowerPrecision(rewriteGraph(layer.graph), ["i8"]);
    const proposals = proposeParts(new Regions(graph), machine.opened.providers);
    const rules = ruleRecords(proposals, machine);
    const selection = await select(proposals, { recordOf: (signature) => rules.get(signature), admit: isLowered });
    const lowered = { maxError: 0.05, error: 0.01, inputs: 3, regions: [] };
    const plan: Plan = { ...planOf(machine, selection, "within 0.05"), lowered };
    const of = { about: { model: "layer", maxError: 0.05 }, plans: [plan] };
    const file = join(folder, "lowered.json");
    await saveLock(of, file);
    const { compiled, notes } = await replay(machine, await readLock(file), true, layer);
    assert.equal(notes, "");
    assert.deepEqual(JSON.parse(JSON.stringify(compiled.plan)), JSON.parse(JSON.stringify(plan)));
    assert.equal(graphHash(compiled.graph), plan.graph.hash);
    const [step] = plan.steps as [RegionStep];
    const gone = { ...plan, steps: [{ ...step, choice: { ...step.choice, provider: "gone" } }] };
    const fallen = await replay(machine, { ...of, plans: [gone] }, false, layer);
    assert.match(fallen.notes, /linear_i8 by gone .* now by (other|reference)/);
    const ops = fallen.compiled.plan.steps.flatMap((one) => (one.kind === "region" ? one.nodes : []).map((id) => graph.nodes[id]!.op)); // prettier-ignore
    assert.deepEqual(ops, ["linear"]);
  });

  it("may be a plan file, of older formats too; what is neither is refused with the reason", async () => {
    const text = await readFile("test/fixtures/plan-format-1.json", "utf8");
    const old = parseLock(text);
    assert.ok(typeof old !== "string", String(old));
    assert.deepEqual([old.plans.length, old.plans[0]!.format, old.plans[0]!.graph.name], [1, 2, "mlp"]);
    assert.match(String(parseLock("{")), /it is no JSON/);
    assert.match(String(parseLock('{"lock":9}')), /its format is 9, this version reads 1/);
    assert.match(String(parseLock('{"lock":1,"about":{},"plans":[]}')), /plans/);
    assert.match(String(parseLock('{"lock":1,"about":{},"plans":[{"format":2}]}')), /graph/);
    assert.match(String(parseLock("[]")), /format is undefined/);
    await writeFile(join(folder, "no.json"), "{}");
    await assert.rejects(readLock(join(folder, "no.json")), refused(/no\.json is no plan or lock/));
    await assert.rejects(readLock(join(folder, "missing.json")), (error) => error instanceof TroupeError && error.code === "io"); // prettier-ignore
  });
});

describe("the command line", () => {
  const run = (...args: readonly string[]): Promise<{ status: number; out: string; err: string }> =>
    new Promise((resolve) => {
      const env = { ...process.env, TROUPE_DEBUG: "", TROUPE_WITHOUT: "tile" };
      execFile(process.execPath, args, { env }, (error, out, err) => {
        resolve({ status: error === null ? 0 : Number(error.code), out, err });
      });
    });

  it("locks, and replays in fresh processes the same kernels to equal bits; strict is status 5", async () => {
    const file = join(folder, "plan.json");
    const model = "models/flux-shapes";
    const compiled = await run(
      "bin/troupe.js",
      "compile",
      model,
      "--effort",
      "none",
      "--lock",
      file,
      "--size",
      "64x64",
    );
    assert.equal(compiled.status, 0, compiled.err);
    const replayed = await run("tools/replay-lock.mjs", file, "2", model);
    assert.match(replayed.out, /2 processes, all equal/, replayed.err);
    const prompt = ["--prompt", "a circle", "-o", join(folder, "x.png")];
    const strict = await run("bin/troupe.js", "run", model, ...prompt, "--lock", file, "--strict", "--threads", "1");
    assert.equal(strict.status, 5);
    assert.match(strict.err, /error \(plan\): .*plan\.json cannot be honoured: clip: it was locked for threads/);
  });
});
