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

describe("scouts by a profile", () => {
  const offered: readonly { readonly provider: string; readonly method?: string }[] = [
    { provider: "tile", method: "a" },
    { provider: "tile", method: "a" },
    { provider: "tile", method: "b" },
    { provider: "tile", method: "b" },
    { provider: "library" },
    { provider: "library" },
    { provider: "stranger", method: "x" },
    { provider: "stranger", method: "x" },
  ];
  const indices = offered.map((_, index) => index);
  const foretold = [40, 10, 50, 20, 60, 30, undefined, undefined];
  const waves = wavesOf(offered, indices, "quick", (index) => foretold[index]);

  it("are the three that are foretold to be the fastest, every provider's first, and of unknown methods the first", () => {
    assert.deepEqual(waves.foretold, [1, 3, 5]);
    assert.deepEqual(waves.scouts, [0, 1, 3, 4, 5, 6]);
    assert.deepEqual([...waves.followers], [[3, [2]], [6, [7]]]); // prettier-ignore
    assert.deepEqual(wavesOf(offered, indices, "full", (index) => foretold[index]).scouts, indices);
    assert.deepEqual(wavesOf(offered, [0, 2, 4, 5], "quick", (index) => foretold[index]).followers, new Map());
    const many = wavesOf(offered, indices, "quick", (index) => [1, 2, 9, 8, 3, 7, 6, 5][index]);
    assert.deepEqual([many.foretold, many.scouts], [[0, 1, 4], [0, 1, 4, 6]]); // prettier-ignore
    assert.deepEqual([...many.followers], [[-1, [2, 3, 5]], [6, [7]]]); // prettier-ignore
  });

  it("call nobody where one of the three came near the best, and others as ever where none did", () => {
    const us = [30, 11, 50, 20, 10, 40, 25, undefined];
    assert.deepEqual(called(waves, (index) => us[index], 10), { called: [], spared: [2, 7] }); // prettier-ignore
    us[1] = 12;
    us[3] = 12.5;
    assert.deepEqual(called(waves, (index) => us[index], 10), { called: [2], spared: [7] }); // prettier-ignore
  });

  it("call methods of which nobody was tried where the profile was wrong", () => {
    const few = wavesOf(offered, indices, "quick", (index) => [1, 2, 9, 8, 3, 7, 6, 5][index]);
    const us = [20, 20, undefined, undefined, 20, undefined, 10, undefined];
    assert.deepEqual(called(few, (index) => us[index], 10), { called: [2, 3, 5, 7], spared: [] }); // prettier-ignore
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
