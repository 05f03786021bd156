// Every provider that is available here passes the suite of the contract, and the suite fails those that should fail.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { DType } from "../src/core/dtype.js";
import { cpuTarget } from "../src/device/cpu/target.js";
import { ops } from "../src/graph/ops.js";
import { hasTrait } from "../src/graph/op.js";
import { conformanceCases } from "../src/provider/conformance.js";
import { openProviders, PROVIDERS, type ProviderSpec } from "../src/provider/open.js";
import { conform, type ConformanceOptions } from "../src/tuner/conform.js";

const target = cpuTarget(2);
const opened = await openProviders(target);
opened.dispose();

/** Every second case in f32, the others in bf16. */
const titles = [...new Set([...conformanceCases("f32"), ...conformanceCases("bf16")].map(({ title }) => title))];
const byTurns = (title: string, dtype: DType): boolean => (titles.indexOf(title) % 2 === 0) === (dtype === "f32");

/** A compiler is slow: of its provider a part is tried here, all of it by `troupe conform`. */
const LESS: Readonly<Record<string, ConformanceOptions>> = { tile: { effort: "none", only: byTurns } };

const fixture = (name: string): ProviderSpec => ({
  name,
  module: new URL(`./providers/${name}/provider.js`, import.meta.url).href,
});

describe("the conformance suite", () => {
  for (const spec of PROVIDERS) {
    const reason = opened.cannot.find(({ name }) => name === spec.name)?.reason;
    it(`${spec.name} passes it`, { skip: reason ?? false, timeout: 240_000 }, async () => {
      const report = await conform(spec, target, { effort: "quick", ...LESS[spec.name] });
      const failed = report.lines.filter((line) => line.outcome === "failed");
      const shown = failed.slice(0, 8).map((line) => `${line.dtype} ${line.title}: ${line.region}: ${line.reason}`);
      assert.equal(failed.length, 0, shown.join("\n"));
      assert.ok(report.passed > 50, `${report.passed} passed`);
      assert.ok(report.lines.every((line) => line.outcome !== "cannot" || line.reason !== ""));
    });
  }

  it("asks about every op that does work, in every dtype", () => {
    const asked = new Set([...conformanceCases("bf16")].flatMap(({ graph }) => graph.nodes.map((node) => node.op)));
    const working = [...ops.values()].filter((op) => !hasTrait(op, "view")).map((op) => op.name);
    const floats = working.filter((name) => !["sinusoid", "random_normal", "first_match"].includes(name));
    assert.deepEqual(
      floats.filter((name) => !asked.has(name)),
      [],
    );
    const all = new Set([...conformanceCases("f32")].flatMap(({ graph }) => graph.nodes.map((node) => node.op)));
    assert.deepEqual(
      working.filter((name) => !all.has(name)),
      [],
    );
  });

  it("fails providers that are wrong, crash or write outside, and names the case", async () => {
    for (const name of ["wrong", "crash", "outside"]) {
      const only = (title: string): boolean => title === "linear: primes" || title === "silu: primes";
      const report = await conform(fixture(name), target, { dtypes: ["f32"], only });
      assert.equal(report.passed, 0, name);
      assert.ok(report.failed > 0, name);
      const kinds = { wrong: /^wrong: output 0/, crash: /^crashed: .*SIGSEGV/, outside: /^wrote-outside: / };
      for (const line of report.lines) assert.match(line.reason ?? "", kinds[name as "wrong"]);
    }
  });

  it("says why a provider is not available instead of running", async () => {
    const report = await conform({ name: "nothing", module: "file:///nowhere/provider.js" }, target);
    assert.equal(report.version, undefined);
    assert.match(report.reason ?? "", /opening it failed/);
    assert.deepEqual(report.lines, []);
  });
});
