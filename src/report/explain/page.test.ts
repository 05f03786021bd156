import assert from "node:assert/strict";
import { test } from "node:test";
import type { PlanDifference } from "../../plan/difference.js";
import type { Explanation } from "../../plan/explain.js";
import { explainPage } from "./page.js";

const explanation: Explanation = {
  component: "step<1>",
  label: "chosen",
  expectedUs: 30,
  usByProvider: { tile: 30 },
  sureWins: {},
  notes: ["pin r.jsonl:2 & another"],
  regions: [
    {
      ops: "linear",
      title: "linear f32 [4, 16] × [8, 16]",
      names: ["a.linear", "b.linear"],
      uses: 2,
      chosen: { provider: "tile", id: "6x16" },
      us: 15,
      work: { flops: 1024, bytes: 896 },
      floor: { us: 1, bound: "bytes", timeOver: 15 },
      candidates: [
        { provider: "tile", id: "6x16", chosen: true, us: { p20: 14, p50: 15, p80: 16, runs: 9 }, error: 1e-7, layouts: [], packs: ["panels"], workspaceBytes: 64, verdict: "accepted" },
        { provider: "blas", id: "<gemm>", chosen: false, layouts: [], packs: [], workspaceBytes: 0, verdict: "wrong: off by 1" },
      ],
      cannot: [{ provider: "onednn", reason: "no such op" }],
      runnerUp: { provider: "ort", id: "x", ratio: 1.2, beyond95: true, confidence: 0.99 },
    },
  ],
}; // prettier-ignore
const difference: PlanDifference = {
  component: "step",
  before: { label: "old", steps: 2, expectedUs: 40 },
  after: { label: "chosen", steps: 2, expectedUs: 30 },
  circumstances: ["onednn 2.6 → 2.7"],
  changes: [{ uses: 2, before: [{ title: "linear", times: 1, provider: "onednn", id: "a" }], after: [{ title: "linear", times: 1, provider: "tile", id: "b" }], us: { before: 40, after: 30 } }],
  same: { steps: 0, beforeUs: 0, afterUs: 0 },
}; // prettier-ignore

const page = explainPage({
  title: "m",
  about: ["a CPU"],
  notes: [],
  explanations: [explanation],
  differences: [difference],
});

test("the page tells every candidate, reject, refusal, floor, note and change", () => {
  for (const text of ["6x16", "wrong: off by 1", "onednn cannot: no such op", "it takes 15.00 times that", "pin r.jsonl:2", "onednn 2.6 → 2.7", "40.0 us → 30.0 us", "beyond the 95 % interval"])
    assert.ok(page.includes(text), text); // prettier-ignore
});

test("the page stands alone: no script, no request, text is escaped, tags close", () => {
  assert.doesNotMatch(page, /<script|src=|href=|url\(|@import/);
  assert.ok(!page.includes("<gemm>") && !page.includes("step<1>") && page.includes("&#38; another"));
  for (const tag of ["details", "table", "section", "ul", "p", "span", "tr"])
    assert.equal(
      page.match(new RegExp(`<${tag}[ >]`, "g"))?.length,
      page.match(new RegExp(`</${tag}>`, "g"))?.length,
      tag,
    );
});
