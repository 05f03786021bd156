// The header parser under mutations, briefly; `node tools/fuzz-safetensors.mjs` does the full number.
import assert from "node:assert/strict";
import { test } from "node:test";
import { fuzzHeader } from "./probes/fuzz-header.js";

test("mutated weight files are refused with a TroupeError or read exactly, at once", () => {
  const report = fuzzHeader(5000, 20_261);
  assert.ok(report.refusals.size >= 12, `only ${report.refusals.size} kinds of refusal were reached`);
  assert.ok(report.accepted > 0 && report.accepted < report.mutations / 2, `${report.accepted} were accepted`);
  assert.ok(report.longestMs < 1000, `one took ${report.longestMs} ms`);
});
