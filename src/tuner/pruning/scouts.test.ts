import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Regions, type Region } from "../../graph/region.js";
import { Words } from "../../graph/words.js";
import { hopelessBy, schedule } from "./kin.js";
import { Ledger } from "./ledger.js";
import type { Measurement, RegionRecord } from "../records/measurement.js";
import { called, wavesOf } from "./scouts.js";

const candidates = [
  { provider: "tile", method: "plain" },
  { provider: "tile", method: "plain" },
  { provider: "tile", method: "winograd" },
  { provider: "tile", method: "winograd" },
  { provider: "library" },
  { provider: "library" },
];
const all = candidates.map((_, index) => index);

describe("scouts", () => {
  it("are the first of each method, and all where there is no method or no hurry", () => {
    const { scouts, followers } = wavesOf(candidates, all, "quick");
    assert.deepEqual(scouts, [0, 2, 4, 5]);
    assert.deepEqual([...followers], [[0, [1]], [2, [3]]]); // prettier-ignore
    assert.deepEqual(wavesOf(candidates, [1, 3], "quick").scouts, [1, 3]);
    assert.deepEqual(wavesOf(candidates, all, "full").scouts, all);
  });

  it("call those that may still win, and those of a scout that was not right", () => {
    const waves = wavesOf(candidates, all, "quick");
    const us = new Map([[0, 30], [2, 11], [4, 10]]); // prettier-ignore
    assert.deepEqual(called(waves, (index) => us.get(index), 10), { called: [3], spared: [1] }); // prettier-ignore
    us.delete(0);
    assert.deepEqual(called(waves, (index) => us.get(index), 10), { called: [1, 3], spared: [] }); // prettier-ignore
  });
});

function measured(provider: string, block: number, us: number | undefined, layout?: readonly number[]): Measurement {
  const candidate = {
    provider, id: `${block}`, params: { block }, layouts: { inputs: [layout], outputs: [layout] }, aliases: [], packs: [],
    workspaceBytes: 0, accumulation: "f32" as const,
  }; // prettier-ignore
  return { candidate, verdict: { kind: "accepted" }, ...(us && { us: { p20: us, p50: us, p80: us, runs: 9 } }) };
}

describe("the kin of a region", () => {
  it("rules out schedules far behind the best alike, never a provider's best", () => {
    const last = [0, 2, 3, 1];
    const measurements = [
      measured("tile", 1, 100), measured("tile", 2, 110), measured("tile", 3, 130), measured("tile", 4, 60, last),
      measured("tile", 5, 80, last), measured("slow", 1, 900), measured("slow", 2, undefined), measured("tile", 6, 125),
    ]; // prettier-ignore
    const record: RegionRecord = { signature: "s", title: "", threads: 1, measurements, cannot: [], versions: {} };
    const out = [measured("tile", 3, 130), measured("tile", 5, 80), measured("tile", 6, 125)];
    assert.deepEqual(hopelessBy(record).toSorted(), out.map(({ candidate }) => schedule(candidate)).toSorted());
    assert.deepEqual(hopelessBy(undefined), []);
  });
});

function linear(rows: number): Region {
  const g = new Words("one");
  const x = g.input("x", "f32", [rows, 8]);
  const regions = new Regions(g.finish({ y: g.linear(x, g.weight("w", "f32", [4, 8])) }));
  return regions.region(regions.work.map(({ id }) => id));
}

describe("the ledger", () => {
  const timed = (slow: number) => [
    { provider: "tile", method: "a", us: 10 },
    { provider: "tile", method: "b", us: slow },
    { provider: "tile", method: "b", us: slow + 1 },
    { provider: "library", method: undefined, us: 100 },
  ];

  it("strikes a method that lost in every region of a kind, after two", () => {
    const ledger = new Ledger();
    ledger.note(linear(2), timed(20));
    assert.deepEqual(ledger.lost(linear(9)), []);
    ledger.note(linear(3), timed(20));
    assert.deepEqual(ledger.lost(linear(9)), ["tile b"]);
    ledger.note(linear(4), timed(11));
    assert.deepEqual(ledger.lost(linear(9)), []);
  });
});
