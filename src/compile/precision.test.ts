// The search over precision on a small component, with a judge that says what is asked of it.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
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
import { memoryStore, tensorOf } from "../weights/memory.js";
import { compileComponents } from "./compile.js";
import type { CompiledComponent } from "./component.js";
import { openMachine } from "./machine.js";
import { lowerWithin, type Judge } from "./precision.js";

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
  return { key, inputs: 7, asked, error: async (_replaced, count) => (asked.push(count), error) };
};

const budget = { effort: "quick", budgetMs: 20_000 } as const;
const isPlain = ([made]: readonly CompiledComponent[], [plain]: readonly CompiledComponent[]): boolean =>
  made!.plan === plain!.plan && made!.graph === plain!.graph;

test(
  "a component whose every lowering costs too much stays as it is, and that is known the next time",
  { skip },
  async () => {
    const { machine, plain } = await layer();
    using _ = machine;
    const judge = judgeOf("too much", 1);
    assert.ok(isPlain(await lowerWithin(machine, plain, { ...budget, maxError: 0.01, judge }), plain));
    assert.ok(judge.asked.length > 0, "the 8-bit layer is faster, so it was looked at");
    const again = judgeOf("too much", 1);
    const [stored] = await lowerWithin(machine, plain, { ...budget, maxError: 0.01, judge: again });
    assert.equal(stored!.origin, "stored");
    assert.equal(graphHash(stored!.graph), graphHash(plain[0]!.graph));
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
    assert.ok(judge.asked.includes(4) && judge.asked.includes(7), "alone on a few inputs, together on all");
    const [{ plan, graph }] = made as [CompiledComponent];
    if (!plan.lowered) return assert.ok(isPlain(made, plain)); // on a busy machine it may not be faster beyond the noise
    assert.equal(plan.lowered.error, 0.004);
    const [region, ...others] = plan.lowered.regions;
    assert.equal(others.length, 0);
    assert.ok((isa.bf16 ? ["bf16", "i8"] : ["i8"]).includes(region!.precision), region!.precision);
    assert.match(
      explainText(explain(plan, new Regions(graph), () => undefined)),
      /lowered: error 4\.0e-3 of 0\.01 allowed/,
    );
    const [stored] = await lowerWithin(machine, plain, { ...budget, effort: "none", maxError: 0.01, judge });
    assert.deepEqual(stored!.plan.lowered, plan.lowered);
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
