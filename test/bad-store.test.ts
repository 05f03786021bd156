// Stored plans that are damaged, old, new, or of another machine: set aside with the reason, and the component is
// compiled anew. A plan that is right is used.
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { compileComponents } from "../src/compile/compile.js";
import type { CompiledComponent, Component } from "../src/compile/component.js";
import { openMachine, type Machine } from "../src/compile/machine.js";
import { TroupeError } from "../src/core/error.js";
import { Words } from "../src/graph/words.js";
import { graphHash } from "../src/plan/assemble.js";
import { readLock } from "../src/plan/lock.js";
import type { Plan, RegionStep } from "../src/plan/plan.js";
import { openPlan, planFile, planKey, savePlan } from "../src/plan/store.js";
import { PROVIDERS } from "../src/provider/open.js";
import { Session } from "../src/session/session.js";
import { memoryStore, tensorOf } from "../src/weights/memory.js";

/** Linears whose results are alive at the same time: small enough for any provider. */
function smallComponent(): Component {
  const g = new Words("small");
  const x = g.input("x", "f32", [4, 8]);
  const w = g.weight("w", "f32", [8, 8]);
  const a = g.linear(x, w);
  const y = g.linear(g.add(a, g.linear(g.silu(a), w)), w);
  const weights = memoryStore({ w: tensorOf("f32", [8, 8], new Float32Array(64).fill(0.5)) });
  return { name: "small", graph: g.finish({ y }), weights, runs: 1 };
}

let folder = "";
let machine: Machine;
let sound: CompiledComponent;
let file = "";
const cacheBefore = process.env.TROUPE_CACHE;
const component = smallComponent();

/** Compiles without measuring; what it was made from, and what was said. */
async function compile(): Promise<{ readonly made: CompiledComponent; readonly notes: readonly string[] }> {
  const notes: string[] = [];
  const [made] = await compileComponents(machine, [component], {
    effort: "none",
    onEvent: (event) => event.kind === "note" && notes.push(event.text),
  });
  return { made: made!, notes };
}

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "troupe-store-"));
  process.env.TROUPE_CACHE = folder;
  machine = await openMachine({ specs: PROVIDERS.filter(({ name }) => name === "reference") });
  sound = (await compile()).made;
  const context = { graphHash: graphHash(sound.graph), target: machine.device.target, versions: machine.versions };
  file = planFile(planKey(context, "best"));
});
after(async () => {
  machine[Symbol.dispose]();
  if (cacheBefore === undefined) delete process.env.TROUPE_CACHE;
  else process.env.TROUPE_CACHE = cacheBefore;
  await rm(folder, { recursive: true, force: true });
});

type Damage = (plan: Plan) => unknown;
const firstStep =
  (change: (step: RegionStep) => object): Damage =>
  (plan) => ({ ...plan, steps: plan.steps.map((step, i) => (i === 0 ? { ...step, ...change(step as RegionStep) } : step)) }); // prettier-ignore
const choice = (change: object): Damage => firstStep((step) => ({ choice: { ...step.choice, ...change } }));

const DAMAGES: readonly (readonly [what: string, Damage, says: RegExp])[] = [
  ["of an older format", (plan) => ({ ...plan, format: 0 }), /its format is 0, this version reads 1 to 2/],
  ["of a newer format", (plan) => ({ ...plan, format: 99, extra: { deep: 1 } }), /its format is 99/],
  ["of another machine", (plan) => ({ ...plan, target: { ...plan.target, hardware: "elsewhere" } }), /made for hardware elsewhere/],
  ["of another graph", (plan) => ({ ...plan, graph: { ...plan.graph, hash: "0" } }), /another graph/],
  ["of another version of a provider", (plan) => ({ ...plan, versions: { reference: "0.0.0" } }), /it uses reference 0\.0\.0/],
  ["of a provider that is not here", (plan) => ({ ...plan, versions: { abacus: "1" } }), /abacus, which is missing here/],
  ["with an alias of an operand that is not", firstStep(() => ({ aliases: [{ output: 1, input: 0 }] })), /share that it has not/],
  ["without a field", (plan) => ({ ...plan, steps: undefined }), /steps/],
  ["without steps", (plan) => ({ ...plan, steps: [] }), /never made/],
  ["with its steps in another order", (plan) => ({ ...plan, steps: plan.steps.toReversed() }), /too early/],
  ["with a step twice", (plan) => ({ ...plan, steps: [plan.steps[0], ...plan.steps] }), /second time/],
  ["with a negative size", (plan) => ({ ...plan, arenaBytes: -64 }), /arenaBytes/],
  ["with a size that is no number", (plan) => ({ ...plan, arenaBytes: "64" }), /arenaBytes/],
  ["with too small an arena", (plan) => ({ ...plan, arenaBytes: 0 }), /ends outside the arena/],
  ["with a vast arena", (plan) => ({ ...plan, arenaBytes: 2 ** 50 }), /the arena has 1125899906842624 bytes/],
  ["with a vast workspace", (plan) => ({ ...plan, workspaceBytes: 2 ** 50 }), /the workspace has 1125899906842624 bytes/],
  ["with a step that wants a vast workspace", (plan) => ({ ...(firstStep(() => ({ workspaceBytes: 2 ** 50 }))(plan) as Plan), workspaceBytes: 2 ** 50 }), /bytes of workspace/],
  ["with all values in one place", (plan) => ({ ...plan, placements: plan.placements.map((place) => ({ ...place, offsetBytes: 0 })) }), /overlap/],
  ["with a place beside the others", (plan) => ({ ...plan, placements: plan.placements.map((place) => ({ ...place, offsetBytes: 2 ** 50 })) }), /ends outside the arena/],
  ["with a node that is none", firstStep(() => ({ nodes: [9999] })), /names nodes that do no work/],
  ["with a choice that is none", choice({ id: "magic" }), /cannot revive magic/],
  ["with a provider that is none", choice({ provider: "abacus" }), /needs provider abacus/],
  ["with packs that the candidate lacks", firstStep(() => ({ packs: [{ input: 1, recipe: "tiles", bytes: 8 }] })), /packs its weights in another way/],
]; // prettier-ignore

describe("a stored plan", () => {
  it("that is right is used", async () => {
    await savePlan(sound.plan, file);
    const { made, notes } = await compile();
    assert.deepEqual([made.origin, notes], ["stored", []]);
    assert.ok(sound.plan.steps.length >= 3 && sound.plan.placements.length >= 2, "there is something to damage");
  });

  for (const [what, damage, says] of DAMAGES)
    it(`${what} is set aside with the reason`, async () => {
      await writeFile(file, JSON.stringify(damage(sound.plan)));
      const { made, notes } = await compile();
      assert.equal(made.origin, "rules");
      assert.deepEqual(made.plan.steps, sound.plan.steps);
      assert.equal(notes.length, 1);
      assert.match(notes[0]!, /^the stored plan of small is set aside: /);
      assert.match(notes[0]!, says);
    });

  it("that is cut at any place, or is no text at all, is set aside", async () => {
    const text = JSON.stringify(sound.plan);
    const texts = [0, 1, 0.3, 0.6, 0.99].map((part) => text.slice(0, part === 1 ? 1 : part * text.length));
    for (const broken of [...texts, "null", "[]", "\0".repeat(500), `{"format":1,"steps":${"[".repeat(200_000)}`]) {
      await writeFile(file, broken);
      const { made, notes } = await compile();
      assert.deepEqual([made.origin, notes.length], ["rules", 1], broken.slice(0, 40));
    }
  });

  it("with parameters that nest without end is set aside", async () => {
    const deep = `{"a":${"[".repeat(100_000)}${"]".repeat(100_000)}}`;
    await writeFile(file, JSON.stringify(choice({ params: "HERE" })(sound.plan)).replace('"HERE"', deep));
    const { made, notes } = await compile();
    assert.deepEqual([made.origin, notes.length], ["rules", 1]);
  });

  it("with any one byte changed is set aside or runs to the same result", async () => {
    const text = await readFile(await savePlan(sound.plan, file));
    const wanted = await run(sound.plan);
    for (let at = 3; at < text.length; at += 41) {
      const changed = Buffer.from(text);
      changed[at] = changed[at] === 0x31 ? 0x32 : 0x31;
      await writeFile(file, changed);
      const { made } = await compile();
      assert.deepEqual(await run(made.plan), wanted, `byte ${at}`);
    }
  });

  it("that was demanded is an error with code and advice", async () => {
    await writeFile(file, "{");
    const context = { graphHash: "0", target: machine.device.target, versions: {} };
    for (const [read, code] of [[() => openPlan(file, context), "plan"], [() => readLock(file), "plan"], [() => readLock(folder), "io"]] as const)
      await assert.rejects(read, (e) => e instanceof TroupeError && e.code === code && Boolean(e.advice)); // prettier-ignore
  });
});

/** The result of a plan for fixed inputs. */
async function run(plan: Plan): Promise<readonly number[]> {
  const { graph } = sound;
  using session = await Session.load({
    graph, plan, providers: machine.providers, device: machine.device, weights: component.weights,
  }); // prettier-ignore
  session.write("x", new Uint8Array(Float32Array.from({ length: 32 }, (_, i) => i / 32).buffer));
  await session.run();
  return [...new Float32Array(session.read("y").buffer)];
}
