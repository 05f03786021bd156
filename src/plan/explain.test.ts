// Explanations and printed plans: what a reader is told of one small plan, word for word.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Regions } from "../graph/region.js";
import { Words } from "../graph/words.js";
import type { Measurement, RegionRecord } from "../tuner/records/measurement.js";
import { assemble } from "./assemble.js";
import { explain } from "./explain.js";
import { explainText } from "./explain-text.js";
import { candidateOf } from "./graphs.fixture.js";
import { isFasterBeyond95 } from "../tuner/records/interval.js";
import { printPlan } from "./print.js";
import { propose } from "./propose.js";
import { select } from "./select.js";

const target = {
  device: "cpu",
  hardware: "One CPU",
  isa: { name: "avx2", vectorBytes: 32, bf16: false },
  threads: 2,
} as const;

async function explained() {
  const g = new Words("tiny");
  const x = g.input("x", "f32", [4, 8]);
  const hidden = g.within("up", () => g.geluTanh(g.linear(x, g.weight("w", "f32", [16, 8]))));
  const out = g.linear(hidden, g.weight("w2", "f32", [8, 16]));
  const regions = new Regions(g.finish({ out }));
  const proposals = propose(regions, []);
  const records = new Map<string, RegionRecord>();
  for (const [signature, [proposal]] of proposals.bySignature) {
    const title = proposal!.work.map((id) => regions.graph.nodes[id]!.op).join("+");
    const ok = (provider: string, id: string, p50: number, spread = 0.02): Measurement => ({
      candidate: candidateOf(
        proposal!,
        provider,
        id,
        provider === "blas" ? { packs: [{ input: 1, recipe: "panel8", bytes: 64 }] } : {},
      ),
      verdict: { kind: "accepted" },
      error: 2.5e-7,
      us: { p20: p50 * (1 - spread), p50, p80: p50 * (1 + spread), runs: 40 },
    });
    const bad: Measurement = {
      candidate: candidateOf(proposal!, "tile", "split-k"),
      verdict: { kind: "wrong", reason: "row 3 is off by 0.5" },
      error: 0.5,
    };
    const measurements =
      title === "linear"
        ? [ok("reference", "plain", 90), ok("tile", "6x16", 10), ok("blas", "sgemm", 10.05, 0.1), bad]
        : title === "linear+gelu_tanh"
          ? [ok("tile", "fused", 11)]
          : title === "gelu_tanh"
            ? [ok("reference", "plain", 20)]
            : [];
    records.set(signature, {
      signature, title: `${title} f32`, threads: 2, measurements,
      cannot: measurements.length === 0 ? [] : [{ provider: "onednn", reason: "the library is missing" }],
      versions: { tile: "1", blas: "2", reference: "3" },
    }); // prettier-ignore
  }
  const recordOf = (signature: string): RegionRecord | undefined => records.get(signature);
  const plan = assemble(await select(proposals, { recordOf }), {
    target,
    versions: { tile: "1", blas: "2" },
    label: "chosen",
  });
  return { plan, regions, recordOf };
}

test("what is foretold stands beside what was measured", async () => {
  const { plan, regions, recordOf } = await explained();
  const forecastUs = (_: unknown, { id }: { readonly id: string }): number | undefined =>
    id === "sgemm" ? 9 : undefined;
  const foretold = explain(plan, regions, recordOf, { forecastUs });
  const rows = foretold.regions.flatMap(({ candidates }) => candidates);
  assert.deepEqual(new Set(rows.map(({ id, forecastUs: us }) => `${id} ${us}`).filter((row) => !row.endsWith("undefined"))), new Set(["sgemm 9"])); // prettier-ignore
  assert.match(explainText(foretold), /p20 … p80 +forecast +error[^]*sgemm .* 9\.00 us +2\.5e-7/);
  assert.doesNotMatch(explainText(explain(plan, regions, recordOf)), /forecast/);
});

test("the explanation has every candidate, the winner's margins and who offered nothing", async () => {
  const { plan, regions, recordOf } = await explained();
  const { regions: parts, usByProvider, expectedUs } = explain(plan, regions, recordOf);
  assert.equal(expectedUs, 21);
  assert.deepEqual(usByProvider, { tile: 21 });
  const [fused, single] = parts;
  assert.equal(fused!.ops, "linear+gelu_tanh");
  assert.equal(fused!.apartUs, 30);
  assert.equal(fused!.runnerUp, undefined);
  assert.deepEqual(single!.candidates.map(({ provider, verdict }) => `${provider} ${verdict}`), [
    "tile accepted", "blas accepted", "reference accepted", "tile wrong: row 3 is off by 0.5",
  ]); // prettier-ignore
  const { confidence, ...runnerUp } = single!.runnerUp!;
  assert.deepEqual(runnerUp, { provider: "blas", id: "sgemm", ratio: 1.0050000000000001, beyond95: false });
  assert.ok(Math.abs(confidence - 0.582) < 1e-3);
  assert.deepEqual(single!.cannot, [{ provider: "onednn", reason: "the library is missing" }]);
});

test("the explanation reads as a table", async () => {
  const { plan, regions, recordOf } = await explained();
  const explanation = explain(plan, regions, recordOf);
  assert.equal(
    explainText(explanation, { only: "linear" }),
    `tiny: plan "chosen", 21.0 us; tile 100 %

linear+gelu_tanh f32  × 1  11.0 us each  (up.linear)
     provider  candidate  p50      p20 … p80          error   layout   verdict
  →  tile      fused      11.0 us  10.8 us … 11.2 us  2.5e-7  default  accepted
    onednn cannot: the library is missing
  its ops one by one, each by its fastest: 30.0 us

linear f32  × 1  10.0 us each  (linear)
     provider   candidate  p50      p20 … p80          error   layout       verdict
  →  tile       6x16       10.0 us  9.80 us … 10.2 us  2.5e-7  default      accepted
     blas       sgemm      10.1 us  9.05 us … 11.1 us  2.5e-7  pack panel8  accepted
     reference  plain      90.0 us  88.2 us … 91.8 us  2.5e-7  default      accepted
     tile       split-k                                5.0e-1  default      wrong: row 3 is off by 0.5
    onednn cannot: the library is missing
  runner-up: blas sgemm, 1.01 × the winner's time, within the 95 % interval (sure to 58 %)
  best other provider: blas sgemm, 1.01 × the winner's time, within the 95 % interval (sure to 58 %)
`,
  );
  assert.match(explainText(explanation, { only: "conv2d" }), /no region computes conv2d/);
});

test("a plan is printed with its operands and places", async () => {
  const { plan, regions } = await explained();
  assert.equal(
    printPlan(plan, regions).replace(/\([0-9a-f]{16}\)/, "(hash)"),
    `plan "chosen" of tiny (hash) for One CPU, 2 threads
2 steps, 21.0 us expected, arena 256 B, workspace 0 B
#  computes          by          time     operands                     writes to
0  linear+gelu_tanh  tile fused  11.0 us  %0[4,8] %1[16,8] → %3[4,16]  arena+0
1  linear            tile 6x16   10.0 us  %3[4,16] %4[8,16] → %5[4,8]  bound %5
`,
  );
});

test("regions won beyond the interval are counted by provider", async () => {
  const { plan, regions, recordOf } = await explained();
  assert.deepEqual(explain(plan, regions, recordOf).sureWins, {});
  const calm = (signature: string): RegionRecord | undefined => {
    const record = recordOf(signature);
    const measurements = record?.measurements.map((m) =>
      m.us ? { ...m, us: { ...m.us, p20: m.us.p50, p80: m.us.p50 } } : m,
    );
    return record && { ...record, measurements: measurements! };
  };
  const explanation = explain(plan, regions, calm);
  assert.deepEqual(explanation.sureWins, { tile: 1 });
  assert.match(explainText(explanation), /won beyond the 95 % interval: tile 1/);
});

test("a winner is sure only where the spread and the runs allow it", () => {
  const times = (p50: number, spread: number, runs: number) => ({ p20: p50 - spread, p50, p80: p50 + spread, runs });
  assert.ok(isFasterBeyond95(times(10, 0.1, 50), times(11, 0.1, 50)));
  assert.ok(!isFasterBeyond95(times(10, 5, 10), times(11, 5, 10)));
  assert.ok(isFasterBeyond95(times(10, 5, 4000), times(11, 5, 4000)));
  assert.ok(!isFasterBeyond95(times(11, 0.1, 50), times(10, 0.1, 50)));
  assert.ok(!isFasterBeyond95(times(10, 0, 1), times(11, 0, 1)), "one run each says nothing");
});

test("rows of other versions and of providers that are not here are void and compete with nobody", async () => {
  const { plan, regions, recordOf } = await explained();
  const { regions: parts } = explain(plan, regions, recordOf, { versions: { tile: "1", reference: "4" } });
  const single = parts.find(({ ops }) => ops === "linear")!;
  assert.deepEqual(single.candidates.map(({ provider, verdict }) => `${provider} ${verdict}`), [
    "tile accepted", "blas void: blas is not here", "reference void: of reference 3, here is 4", "tile wrong: row 3 is off by 0.5",
  ]); // prettier-ignore
  assert.equal(single.runnerUp, undefined);
});

test("a region's floor is its operations or its bytes at the machine's rates, whichever takes longer", async () => {
  const { plan, regions, recordOf } = await explained();
  const of = (rates: { flopsPerSecond: number; bytesPerSecond: number }) =>
    explain(plan, regions, recordOf, { rates }).regions.find(({ ops }) => ops === "linear")!;
  // [4, 16] × [8, 16]: 4·8·16 multiply-adds; 64 + 128 + 32 numbers.
  assert.deepEqual(of({ flopsPerSecond: 1e9, bytesPerSecond: 1e12 }).work, { flops: 1024, bytes: 896 });
  assert.deepEqual(of({ flopsPerSecond: 1e9, bytesPerSecond: 1e12 }).floor, { us: 1.024, bound: "operations", timeOver: 10 / 1.024 }); // prettier-ignore
  const { floor } = of({ flopsPerSecond: 1e12, bytesPerSecond: 1e9 });
  assert.deepEqual([floor!.bound, Math.round(1e6 * floor!.us)], ["bytes", 896_000]);
  const text = explainText(explain(plan, regions, recordOf, { rates: { flopsPerSecond: 1e9, bytesPerSecond: 1e12 } }));
  assert.match(text, /floor: 1\.02 us for its operations \(0\.00102 MFLOP, 896 B\), it takes 9\.77 times that/);
});

test("notes of a plan stand under its head", async () => {
  const { plan, regions, recordOf } = await explained();
  const noted = explain({ ...plan, notes: ["pin r.jsonl:2 cannot be honoured"] }, regions, recordOf);
  assert.match(explainText(noted), /^tiny: .*\nnote: pin r\.jsonl:2 cannot be honoured\n/);
});
