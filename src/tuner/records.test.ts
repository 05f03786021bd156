import assert from "node:assert/strict";
import { appendFileSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { JournalWriter, readContext, readMark } from "./journal.js";
import type { RegionRecord } from "./measurement.js";
import { RecordStore } from "./records.js";

const folder = mkdtempSync(join(tmpdir(), "troupe-records-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const target = {
  device: "cpu",
  hardware: "a test",
  isa: { name: "generic", vectorBytes: 16, bf16: false },
  threads: 2,
} as const;

const record = (signature: string, p50: number): RegionRecord => ({
  signature,
  title: "linear f32 [2, 3]",
  threads: 2,
  measurements: [
    {
      candidate: {
        provider: "p",
        id: "one",
        params: { block: 4 },
        layouts: { inputs: [undefined, [1, 0]], outputs: [undefined] },
        aliases: [],
        packs: [{ input: 1, recipe: "panels", bytes: 64 }],
        workspaceBytes: 0,
        accumulation: "f32",
      },
      verdict: { kind: "accepted" },
      error: 1e-7,
      us: { p20: 1, p50, p80: 9, runs: 12 },
    },
  ],
  cannot: [{ provider: "q", reason: "no such op" }],
  effort: "quick",
  versions: { p: "1", q: "2" },
});

describe("records", () => {
  it("come back as they were, the last one of a region counting, per number of threads", () => {
    const store = new RecordStore(target, folder);
    store.add(record("a", 5));
    store.add(record("b", 6));
    store.add(record("a", 7));
    const again = new RecordStore(target, folder);
    assert.deepEqual(again.get("a", 2), record("a", 7));
    assert.deepEqual(again.get("b", 2), record("b", 6));
    assert.equal(again.get("a", 1), undefined);
  });

  it("outlive lines that are cut short or make no sense", () => {
    const name = readdirSync(folder).find((file) => file.endsWith(".jsonl"))!;
    appendFileSync(join(folder, name), '{"signature": "c", "measurements"\n[]\n{"signature":"d"}\n');
    const store = new RecordStore(target, folder);
    assert.deepEqual(store.get("a", 2), record("a", 7));
    assert.equal(store.get("d", 2), undefined);
  });

  it("keep an error that is not finite", () => {
    const store = new RecordStore(target, folder);
    const [measurement] = record("e", 1).measurements;
    const wrong = { kind: "wrong", reason: "NaN" } as const;
    const measurements = [{ candidate: measurement!.candidate, verdict: wrong, error: Number.POSITIVE_INFINITY }];
    store.add({ ...record("e", 1), measurements });
    assert.equal(new RecordStore(target, folder).get("e", 2)!.measurements[0]!.error, Number.POSITIVE_INFINITY);
  });

  it("in a folder that cannot be made are kept in memory only", () => {
    const store = new RecordStore(target, "/dev/null/records");
    store.add(record("f", 1));
    assert.deepEqual(store.get("f", 2), record("f", 1));
    assert.ok(store.journalPath().startsWith(tmpdir()));
  });

  it("of another machine are in another file", () => {
    assert.equal(new RecordStore({ ...target, hardware: "another" }, folder).get("a", 2), undefined);
  });
});

describe("the journal", () => {
  it("says what was last being tried, and what its numbers mean", () => {
    const path = join(folder, "journal");
    const writer = new JournalWriter(path);
    assert.deepEqual(readMark(path), { phase: "opening", index: -1, count: 1 });
    const candidates = [{ provider: "p", version: "1", id: "one", key: "p/one/0" }];
    writer.context({ signature: "a much longer text than the one after it", candidates });
    writer.context({ signature: "s", candidates });
    writer.mark("checking", 12);
    assert.deepEqual(readMark(path), { phase: "checking", index: 12, count: 2 });
    assert.deepEqual(readContext(path), { signature: "s", candidates });
    writer.close();
    assert.equal(readMark(join(folder, "nothing")), undefined);
    assert.equal(readContext(join(folder, "nothing")), undefined);
  });
});
