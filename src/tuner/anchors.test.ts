import assert from "node:assert/strict";
import { test } from "node:test";
import { partialOf, withPartial } from "./anchors.js";
import type { Measurement, RegionRecord } from "./records/measurement.js";

const row = (provider: string, p50: number | undefined, id = "one"): Measurement => ({
  candidate: {
    provider, id, params: {}, layouts: { inputs: [undefined], outputs: [undefined] }, aliases: [], packs: [],
    workspaceBytes: 0, accumulation: "f32",
  },
  verdict: p50 === undefined ? { kind: "wrong", reason: "off by 1" } : { kind: "accepted" },
  ...(p50 !== undefined && { us: { p20: p50 * 0.9, p50, p80: p50 * 1.1, runs: 30 } }),
}); // prettier-ignore

const record: RegionRecord = {
  signature: "s",
  title: "linear",
  threads: 2,
  measurements: [
    row("tile", 10),
    row("tile", 11, "two"),
    row("tile", 40, "slow"),
    row("old", 9),
    row("blas", undefined),
  ],
  cannot: [
    { provider: "old", reason: "another op" },
    { provider: "ort", reason: "no such op" },
  ],
  versions: { tile: "1", old: "1", blas: "1", ort: "1" },
};
const versions = { ...record.versions, old: "2", fresh: "1" };

test("the changed and the new are measured beside the two fastest of the others", () => {
  const partial = partialOf(record, versions)!;
  assert.deepEqual(partial.stale, ["old", "fresh"]);
  assert.deepEqual(partial.only, ["old", "fresh", "tile"]);
  assert.deepEqual(partial.anchors.map(({ candidate }) => candidate.id), ["one", "two"]); // prettier-ignore
  assert.deepEqual(partial.skip.map((key) => key.slice(0, 9)), ["tile/slow", "blas/one/"]); // prettier-ignore
  assert.equal(partialOf(record, record.versions), undefined, "nothing has changed");
  assert.equal(partialOf(record, { old: "2", blas: "1" }), undefined, "a wrong candidate is no anchor");
});

test("new times come to the record's scale; rows and reasons of the others stay", () => {
  const partial = partialOf(record, versions)!;
  const measurements = [row("tile", 20), row("tile", 22, "two"), row("old", 30), row("fresh", 50)];
  const rows = withPartial(record, partial, { measurements, cannot: [{ provider: "fresh", reason: "no room" }] })!;
  const shown = rows.measurements.map(({ candidate, us }) => [candidate.provider, candidate.id, us?.p50]);
  assert.deepEqual(shown, [
    ["tile", "one", 10], ["tile", "two", 11], ["tile", "slow", 40], ["blas", "one", undefined], ["old", "one", 15], ["fresh", "one", 25],
  ]); // prettier-ignore
  assert.deepEqual(rows.cannot, [
    { provider: "ort", reason: "no such op" },
    { provider: "fresh", reason: "no room" },
  ]);
});

test("anchors that fail or do not agree say nothing", () => {
  const partial = partialOf(record, versions)!;
  const of = (first: number | undefined, second: number) =>
    withPartial(record, partial, { measurements: [row("tile", first), row("tile", second, "two")], cannot: [] });
  assert.ok(of(20, 23));
  assert.equal(of(20, 33), undefined);
  assert.equal(of(undefined, 22), undefined);
});
