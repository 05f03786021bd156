import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync, readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { cpuTarget } from "../src/device/cpu/target.js";
import { Regions, type Region } from "../src/graph/region.js";
import { materialize } from "../src/graph/storage.js";
import { Words } from "../src/graph/words.js";
import type { ProviderSpec } from "../src/provider/open.js";
import { RecordStore } from "../src/tuner/records/records.js";
import { tune } from "../src/tuner/tune.js";
import type { RegionRecord } from "../src/tuner/records/measurement.js";

const target = cpuTarget(1);
const folder = mkdtempSync(join(tmpdir(), "troupe-tuner-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const fixture = (name: string): ProviderSpec => ({
  name,
  module: new URL(`./providers/${name}/provider.js`, import.meta.url).href,
});
const reference: ProviderSpec = {
  name: "reference",
  module: new URL("../src/provider/reference/provider.js", import.meta.url).href,
};

function regionsOf(): readonly Region[] {
  const g = new Words("small");
  const x = g.input("x", "f32", [5, 16]);
  const h = g.geluTanh(g.linear(x, g.weight("w", "f32", [24, 16]), g.weight("b", "f32", [24])));
  const joined = g.concat([h, g.layerNorm(x, undefined, 1e-6)], 1);
  const graph = materialize(g.finish({ out: g.softmax(joined) }));
  const regions = new Regions(graph);
  return regions.work.map((node) => regions.region([node.id]));
}

const verdictOf = (record: RegionRecord, provider: string) =>
  record.measurements.find(({ candidate }) => candidate.provider === provider)?.verdict;

describe("the tuner among misbehaving providers", () => {
  it("catches and names each, chooses none of them, and goes on with the rest", async () => {
    const specs = [...["wrong", "crash", "hang", "outside", "meddle"].map(fixture), reference];
    const records = new RecordStore(target, folder);
    const regions = regionsOf();
    const seen: number[] = [];
    const result = await tune(regions, target, {
      specs,
      records,
      hangMs: 1500,
      seed: 11,
      onProgress: ({ done, total, best }) => {
        seen.push(done);
        assert.equal(total, regions.length);
        assert.match(best ?? "", /^reference float64/);
      },
    });
    assert.equal(result.complete, true);
    assert.deepEqual(
      seen,
      regions.map((_, i) => i + 1),
    );
    assert.equal(result.records.length, 4);
    for (const record of result.records) {
      const kinds = ["wrong", "crash", "hang", "outside", "meddle", "reference"].map(
        (name) => verdictOf(record, name)?.kind,
      );
      assert.deepEqual(kinds, ["wrong", "crashed", "hung", "wrote-outside", "wrote-outside", "accepted"], record.title);
      const wrong = verdictOf(record, "wrong");
      assert.match(wrong && "reason" in wrong ? wrong.reason : "", /output 0 is off by .*e-.* in row \d/);
      const crashed = verdictOf(record, "crash");
      assert.match(crashed && "reason" in crashed ? crashed.reason : "", /while checking it ended .* with SIGSEGV/);
      const outside = verdictOf(record, "outside");
      assert.match(outside && "reason" in outside ? outside.reason : "", /wrote \d+ bytes behind .* output 0/);
      const meddled = verdictOf(record, "meddle");
      assert.match(meddled && "reason" in meddled ? meddled.reason : "", /it changed input 0/);
      for (const { us, verdict } of record.measurements) assert.equal(us !== undefined, verdict.kind === "accepted");
    }
  });

  it("ends a candidate that takes too much memory", async () => {
    const memoryBytes = 700 * 2 ** 20;
    const specs = [fixture("hog"), reference];
    const [region] = regionsOf();
    const result = await tune([region!], target, { specs, records: false, memoryBytes });
    const [record] = result.records;
    const hog = verdictOf(record!, "hog");
    assert.equal(hog?.kind, "crashed");
    assert.match(hog && "reason" in hog ? hog.reason : "", /while checking it took \d+ MiB of memory; 700 MiB are/);
    assert.equal(verdictOf(record!, "reference")?.kind, "accepted");
  });

  it("measures nothing again that is recorded", async () => {
    const specs = [fixture("wrong"), reference];
    const store = new RecordStore(target, folder);
    const before = Date.now();
    const again = await tune(regionsOf(), target, { specs, records: store });
    assert.equal(again.records.length, 4);
    assert.ok(Date.now() - before < 5000);
    for (const record of again.records)
      assert.deepEqual(
        record.measurements.map(({ candidate }) => candidate.provider),
        ["wrong", "reference"],
      );
  });

  it("voids what another version of a provider made, and only that", async () => {
    const [region] = regionsOf();
    const known = new RecordStore(target, folder).get(region!.signature, target.threads)!;
    const place = mkdtempSync(join(folder, "void-"));
    const store = new RecordStore(target, place);
    store.add({ ...known, versions: { ...known.versions, reference: "0" } });
    const before = Date.now();
    const specs = [fixture("hang"), reference];
    const { records } = await tune([region!], target, { specs, records: store, hangMs: 20_000 });
    assert.ok(Date.now() - before < 15_000, "the hanging candidate is not tried again");
    assert.equal(verdictOf(records[0]!, "hang")?.kind, "hung");
    const measured = records[0]!.measurements.find(({ candidate }) => candidate.provider === "reference");
    assert.equal(measured?.verdict.kind, "accepted");
    assert.equal(new RecordStore(target, place).get(region!.signature, 1)?.versions["reference"], "1");
    const earlier = known.measurements.find(({ candidate }) => candidate.provider === "reference");
    assert.notDeepEqual(measured?.us, earlier?.us);
  });
});

describe("another version of one provider", () => {
  const log = join(folder, "runs.log");
  const versioned = (name: string, version: string): ProviderSpec => {
    const url = new URL("./providers/versioned/provider.js", import.meta.url);
    url.search = new URLSearchParams({ name, version, log }).toString();
    return { name, module: url.href };
  };
  const ran = (): readonly string[] => [...new Set(readFileSync(log, "utf8").split("\n").filter(Boolean))].toSorted();

  it("has its rows alone measured again, beside the fastest of the others", async () => {
    const place = mkdtempSync(join(folder, "versions-"));
    const [region] = regionsOf();
    const tuneWith = async (version: string): Promise<RegionRecord> => {
      writeFileSync(log, "");
      const specs = [versioned("changing", version), versioned("same", "1"), fixture("hang")];
      const options = { specs, records: new RecordStore(target, place), hangMs: 1500 };
      return (await tune([region!], target, options)).records[0]!;
    };
    const before = await tuneWith("1");
    assert.equal(verdictOf(before, "hang")?.kind, "hung");
    const after = await tuneWith("2");
    assert.deepEqual(ran(), ["changing", "same"]);
    const rows = ({ measurements }: RegionRecord, changing: boolean) =>
      measurements.filter(({ candidate }) => (candidate.provider === "changing") === changing);
    assert.deepEqual(rows(after, false), rows(before, false));
    assert.equal(rows(after, true)[0]!.verdict.kind, "accepted");
    assert.notDeepEqual(rows(after, true), rows(before, true));
    assert.equal(after.versions["changing"], "2");
    await tuneWith("2");
    assert.deepEqual(ran(), [], "now everything is known");
    await tuneWith("1");
    assert.deepEqual(ran(), [], "and what was known of the first version still is");
  });

  it("is told at the first step of the debug ladder, as rejections are", async () => {
    const place = mkdtempSync(join(folder, "told-"));
    const [region] = regionsOf();
    const [write, level] = [process.stderr.write, process.env.TROUPE_DEBUG];
    let said = "";
    process.env.TROUPE_DEBUG = "1";
    process.stderr.write = (text: string | Uint8Array): boolean => ((said += String(text)), true);
    try {
      for (const version of ["1", "2"]) {
        const specs = [versioned("changing", version), versioned("same", "1"), fixture("wrong")];
        await tune([region!], target, { specs, records: new RecordStore(target, place) });
      }
    } finally {
      process.stderr.write = write;
      process.env.TROUPE_DEBUG = level ?? "";
    }
    assert.match(said, /^rejected: wrong float64 for linear .*: wrong: output 0 is off by /m);
    assert.match(said, /^records: linear .*: changing was 1, is 2; measured again beside what stays$/m);
  });

  it("is measured with all others where nothing of the record can be an anchor", async () => {
    const place = mkdtempSync(join(folder, "alone-"));
    const [region] = regionsOf();
    const store = new RecordStore(target, place);
    const alone = [versioned("changing", "1")];
    await tune([region!], target, { specs: alone, records: store });
    const both = [versioned("changing", "2"), versioned("a", "1")];
    const { records } = await tune([region!], target, { specs: both, records: store });
    assert.deepEqual(records[0]!.versions, { changing: "2", a: "1" });
    assert.ok(records[0]!.measurements.every(({ us }) => us));
  });
});

describe("stopping a tune", () => {
  it("returns what is known when it is cancelled, and when the budget is spent", async () => {
    const control = new AbortController();
    const options = { specs: [reference], records: false as const };
    const stopped = await tune(regionsOf(), target, {
      ...options,
      signal: control.signal,
      onProgress: () => control.abort(),
    });
    assert.equal(stopped.complete, false);
    assert.equal(stopped.records.length, 1);
    const none = await tune(regionsOf(), target, { ...options, budgetMs: -1 });
    assert.deepEqual(none.records, []);
  });
});

describe("a tuner that died with its worker", () => {
  it("twice at the same candidate leaves a journal whose candidate is not tried again", async () => {
    const [region] = regionsOf();
    const empty = mkdtempSync(join(folder, "died-"));
    const store = new RecordStore(target, empty);
    const first = await tune([region!], target, { specs: [reference], records: store });
    const { candidate } = first.records[0]!.measurements[0]!;
    const { candidateKey } = await import("../src/tuner/records/candidate-key.js");
    const entry = { provider: "reference", version: "1", id: candidate.id, key: candidateKey(candidate) };
    const context = JSON.stringify({ signature: region!.signature, candidates: [entry] });
    const journal = store.journalPath().replace(`.${process.pid}.`, ".999999999.");
    for (const name of readdirSync(empty)) rmSync(join(empty, name));
    const die = (): void => writeFileSync(journal, `${"timing 0 7".padEnd(63)}\n${context}`);
    die();
    const again = await tune([region!], target, { specs: [reference], records: new RecordStore(target, empty) });
    assert.equal(again.records[0]!.measurements[0]!.verdict.kind, "accepted");
    for (const name of readdirSync(empty).filter((file) => !file.includes("quarantine"))) rmSync(join(empty, name));
    die();
    const next = await tune([region!], target, { specs: [reference], records: new RecordStore(target, empty) });
    const [measured] = next.records[0]!.measurements;
    assert.equal(measured!.verdict.kind, "crashed");
    assert.equal(measured!.us, undefined);
  });
});
