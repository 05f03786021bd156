// The search over precision on a small component, with a judge that says what is asked of it.
import assert from "node:assert/strict";
import { appendFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it, test } from "node:test";
import { ownCache } from "../core/cache.fixture.js";
import { findCompiler } from "../device/cpu/compile.js";
import { cpuTarget } from "../device/cpu/target.js";
import { Words } from "../graph/words.js";
import { graphHash } from "../plan/assemble.js";
import { explain } from "../plan/explain.js";
import { explainText } from "../plan/explain-text.js";
import { isCannot } from "../provider/provider.js";
import { PROVIDERS } from "../provider/open.js";
import { Regions } from "../graph/region.js";
import { candidateKey } from "../tuner/records/candidate-key.js";
import { runBase } from "../tuner/records/records.js";
import { memoryStore, tensorOf } from "../weights/memory.js";
import { compileComponents } from "./compile.js";
import type { CompiledComponent, CompileEvent, Component } from "./component.js";
import { openMachine } from "./machine.js";
import type { Judge } from "./judge.js";
import { lowerWithin } from "./precision.js";

const cache = ownCache(mkdtempSync(join(tmpdir(), "troupe-precision-")));
const before = process.env.TROUPE_CACHE;
process.env.TROUPE_CACHE = cache;
after(() => {
  if (before === undefined) delete process.env.TROUPE_CACHE;
  else process.env.TROUPE_CACHE = before;
  rmSync(cache, { recursive: true, force: true });
});

const own = PROVIDERS.filter(({ name }) => name === "tile" || name === "reference");
const skip = isCannot(await findCompiler()) ? "there is no C compiler" : false;

/** What may be faster: without bf16 products 8 bits alone, with them either, for those processors multiply fours of i8. */
const { isa } = cpuTarget();
const [N, K] = [192, 128];

async function layer() {
  const machine = await openMachine({ threads: 1, specs: own });
  const g = new Words("layer");
  const x = g.input("x", "f32", [64, K]);
  const graph = g.finish({ y: g.linear(x, g.weight("w", "f32", [N, K])) });
  const weights = memoryStore({ w: tensorOf("f32", [N, K], Float64Array.from({ length: N * K }, (_, i) => Math.sin(i))) }); // prettier-ignore
  const plain = await compileComponents(machine, [{ name: "layer", graph, weights, runs: 1 }], { effort: "none" });
  return { machine, plain };
}

const judgeOf = (key: string, error: number): Judge & { readonly asked: number[] } => {
  const asked: number[] = [];
  const errors = async (_: unknown, count: number) => (asked.push(count), Array.from({ length: count }, () => error));
  return { key, inputs: 9, asked, errors };
};

const budget = { effort: "quick", budgetMs: 20_000 } as const;
const isPlain = ([made]: readonly CompiledComponent[], [plain]: readonly CompiledComponent[]): boolean =>
  made!.plan.steps === plain!.plan.steps && made!.graph === plain!.graph;

test(
  "a component whose every lowering costs too much stays as it is, and that is known the next time",
  { skip },
  async () => {
    const { machine, plain } = await layer();
    using _ = machine;
    const judge = judgeOf("too much", 1);
    const made = await lowerWithin(machine, plain, { ...budget, maxError: 0.01, judge });
    assert.ok(isPlain(made, plain));
    assert.ok(judge.asked.length > 0, "the 8-bit layer is faster, so it was looked at");
    const lowered = made[0]!.plan.lowered!;
    assert.deepEqual([lowered.error, lowered.regions], [0, []]);
    const looked = lowered.refused!.filter(({ error }) => error === 1);
    assert.ok(looked.length > 0 && looked.every(({ boughtUs }) => boughtUs! > 0));
    for (const { reason } of looked) assert.match(reason, /alone it errs more than the 8\.0e-3 that are left/);
    const text = explainText(explain(made[0]!.plan, new Regions(made[0]!.graph), () => undefined));
    assert.match(text, /region that stays +in +would buy a run +error alone +because\n +linear +i8 .*1\.0e\+0 +alone it errs/); // prettier-ignore
    const again = judgeOf("too much", 1);
    const [stored] = await lowerWithin(machine, plain, { ...budget, maxError: 0.01, judge: again });
    assert.equal(stored!.origin, "stored");
    assert.equal(graphHash(stored!.graph), graphHash(plain[0]!.graph));
    assert.deepEqual(JSON.parse(JSON.stringify(stored!.plan.lowered)), JSON.parse(JSON.stringify(lowered)));
    assert.deepEqual(again.asked, []);
  },
);

test(
  "a lowering within the error is taken if it is faster, measured on all inputs, stored and explained",
  { skip },
  async () => {
    const { machine, plain } = await layer();
    using _ = machine;
    const judge = judgeOf("nothing", 0.004);
    const made = await lowerWithin(machine, plain, { ...budget, maxError: 0.01, judge });
    assert.ok(judge.asked.includes(8) && judge.asked.includes(9), "alone on a few inputs, together on all");
    const [{ plan, graph }] = made as [CompiledComponent];
    const { error, keptTo, regions } = plan.lowered!;
    if (regions.length === 0) return assert.ok(isPlain(made, plain)); // on a busy machine it may not be faster beyond the noise
    assert.deepEqual([error, keptTo], [0.004, 0.008]);
    const [region, ...others] = regions;
    assert.equal(others.length, 0);
    assert.ok((isa.bf16 ? ["bf16", "i8"] : ["i8"]).includes(region!.precision), region!.precision);
    assert.match(
      explainText(explain(plan, new Regions(graph), () => undefined)),
      /lowered: error 4\.0e-3 of 0\.01 allowed, 0\.0080 kept to, the worst row of 9 inputs/,
    );
    const [stored] = await lowerWithin(machine, plain, { ...budget, effort: "none", maxError: 0.01, judge });
    assert.deepEqual(stored!.plan.lowered, plan.lowered);
  },
);

describe("a model in bf16", { skip: skip || (isa.bf16 ? false : "there are no bf16 products") }, () => {
  /** A layer large enough that bf16 is faster whatever else runs, in both dtypes. */
  async function both() {
    const machine = await openMachine({ threads: 1, specs: own });
    const [rows, width] = [256, 512];
    const w = tensorOf(
      "f32",
      [width, width],
      Float64Array.from({ length: width * width }, (_, i) => Math.sin(i)),
    );
    const component = (dtype: "f32" | "bf16"): Component => {
      const g = new Words("wide");
      const y = g.linear(g.input("x", dtype, [rows, width]), g.weight("w", dtype, [width, width]));
      return { name: "wide", graph: g.finish({ y }), weights: memoryStore({ w }), runs: 1 };
    };
    const plain = await compileComponents(machine, [component("f32")], { effort: "none" });
    return { machine, plain, inBf16: [component("bf16")] };
  }
  const dtypeOf = ({ graph }: CompiledComponent): string => graph.values[graph.outputs[0]!.value]!.dtype;

  it("is what regions are lowered from where it stays within the error; that is reported, stored and explained", async () => {
    const { machine, plain, inBf16 } = await both();
    using _ = machine;
    const judge = judgeOf("base", 0.004);
    const [made] = await lowerWithin(machine, plain, { ...budget, maxError: 0.01, judge, inBf16 });
    assert.equal(dtypeOf(made!), "bf16");
    assert.equal(made!.full, plain[0]);
    const { base, regions, error } = made!.plan.lowered!;
    assert.deepEqual([base!.dtype, base!.error, error], ["bf16", 0.004, 0.004]);
    assert.ok(base!.boughtUs > 0, `${base!.boughtUs}`);
    assert.ok(regions.every(({ precision }) => precision === "i8"), "bf16 is the base, not a lowering"); // prettier-ignore
    const text = explainText(explain(made!.plan, new Regions(made!.graph), () => undefined));
    assert.match(text, /from the model in bf16, whose own error is 4\.0e-3; a run of this takes .* less than in f32/);
    const again = judgeOf("base", 1);
    const [stored] = await lowerWithin(machine, plain, { ...budget, effort: "none", maxError: 0.01, judge: again, inBf16 }); // prettier-ignore
    assert.equal(stored!.origin, "stored");
    assert.deepEqual(JSON.parse(JSON.stringify(stored!.plan)), JSON.parse(JSON.stringify(made!.plan)));
    assert.equal(stored!.component, inBf16[0]);
    assert.equal(stored!.full, plain[0]);
    assert.deepEqual(again.asked, []);
  });

  it("is no base beyond the error, nor is what it gave earlier found any more", async () => {
    const { machine, plain, inBf16 } = await both();
    using _ = machine;
    const of = (error: number) => ({ ...budget, maxError: 0.01, judge: judgeOf("no base", error), inBf16 });
    assert.equal(dtypeOf((await lowerWithin(machine, plain, of(0.004)))[0]!), "bf16");
    const notes: string[] = [];
    const onEvent = (event: CompileEvent): void => void (event.kind === "note" && notes.push(event.text));
    assert.ok(isPlain(await lowerWithin(machine, plain, { ...of(0.009), again: true, onEvent }), plain));
    assert.match(notes.join(), /the model in bf16 has an error of 9\.00e-3, beyond 0\.8 of 0\.01: regions are lowered from f32/); // prettier-ignore
    const [kept] = await lowerWithin(machine, plain, of(0.004));
    assert.deepEqual([kept!.origin, dtypeOf(kept!), kept!.plan.lowered!.base], ["stored", "f32", undefined]);
    const text = explainText(explain(kept!.plan, new Regions(kept!.graph), () => undefined));
    assert.match(
      text,
      /note: the model in bf16 has an error of 9\.00e-3, beyond 0\.8 of 0\.01: regions are lowered from f32\n/,
    );
  });
});

test(
  "a stored plan of lower precision whose step is in quarantine is set aside, and that is told",
  { skip },
  async () => {
    const { machine, plain } = await layer();
    using _ = machine;
    const judge = judgeOf("quarantine", 1);
    await lowerWithin(machine, plain, { ...budget, maxError: 0.01, judge });
    const options = { effort: "none", maxError: 0.01, judge } as const;
    const [{ plan, graph, origin }] = (await lowerWithin(machine, plain, options)) as [CompiledComponent];
    assert.equal(origin, "stored");
    const [step] = plan.steps;
    assert.ok(step?.kind === "region");
    const { signature } = new Regions(graph).region(step.nodes);
    const { provider } = step.choice;
    const entry = { signature, provider, version: machine.versions[provider], key: candidateKey(step.choice), reason: "it fell over" }; // prettier-ignore
    appendFileSync(`${runBase(machine.device.target)}.quarantine.jsonl`, `${JSON.stringify(entry)}\n`.repeat(2));
    const notes: string[] = [];
    const onEvent = (event: CompileEvent): void => void (event.kind === "note" && notes.push(event.text));
    assert.ok(isPlain(await lowerWithin(machine, plain, { ...options, onEvent }), plain));
    assert.match(
      notes.join("\n"),
      /the stored plan of layer within 0\.01 on quarantine is set aside: .* is not trusted: it fell over/,
    );
  },
);

test("without measuring nothing is lowered, and that is told", { skip }, async () => {
  const { machine, plain } = await layer();
  using _ = machine;
  const notes: string[] = [];
  const options = { effort: "none", maxError: 0.5, judge: judgeOf("unheard of", 0) } as const;
  const made = await lowerWithin(machine, plain, { ...options, onEvent: (event) => event.kind === "note" && notes.push(event.text) }); // prettier-ignore
  assert.ok(isPlain(made, plain));
  assert.match(notes.join(), /no plans of lower precision are stored/);
});
