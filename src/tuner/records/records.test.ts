import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { appendFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"; // prettier-ignore
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, describe, it } from "node:test";
import { readContext } from "../journal/journal-context.js";
import { JournalWriter, readMark, readWorker } from "../journal/journal.js";
import type { RegionRecord } from "./measurement.js";
import { recordLine } from "./record-lines.js";
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

/** What a store knows of region `signature`, without the time of its measurement. */
function known(store: RecordStore, signature: string, versions = {}): RegionRecord | undefined {
  const { measuredAt, ...rest } = store.get(signature, 2, versions) ?? {};
  assert.ok(measuredAt === undefined || !Number.isNaN(Date.parse(measuredAt)));
  return measuredAt === undefined ? undefined : (rest as RegionRecord);
}

describe("records", () => {
  it("come back as they were, the last one of a region counting, per number of threads", () => {
    const store = new RecordStore(target, folder);
    store.add(record("a", 5));
    store.add(record("b", 6));
    store.add(record("a", 7));
    const again = new RecordStore(target, folder);
    assert.deepEqual(known(again, "a"), record("a", 7));
    assert.deepEqual(known(again, "b"), record("b", 6));
    assert.equal(again.get("a", 1), undefined);
  });

  it("outlive lines that are cut short or make no sense", () => {
    const name = readdirSync(folder).find((file) => file.endsWith(".jsonl"))!;
    appendFileSync(join(folder, name), '{"signature": "c", "measurements"\n[]\n{"signature":"d"}\n');
    const store = new RecordStore(target, folder);
    assert.deepEqual(known(store, "a"), record("a", 7));
    assert.equal(store.get("d", 2), undefined);
  });

  it("end a line that was cut short before they add one", () => {
    const name = readdirSync(folder).find((file) => file.endsWith(".jsonl"))!;
    appendFileSync(join(folder, name), '{"signature": "cut');
    new RecordStore(target, folder).add(record("g", 3));
    assert.deepEqual(known(new RecordStore(target, folder), "g"), record("g", 3));
  });

  it("of two processes at once stay readable line by line", async () => {
    const shared = join(folder, "shared");
    const script = `
      const { RecordStore } = await import(${JSON.stringify(new URL("./records.js", import.meta.url).href)});
      const [folder, target, record, name] = JSON.parse(process.argv[1]);
      const store = new RecordStore(target, folder);
      for (let i = 0; i < 200; i++) store.add({ ...record, signature: name + i, title: "x".repeat(30_000) });`;
    const tuner = async (name: string): Promise<number> => {
      const args = JSON.stringify([shared, target, record("", 1), name]);
      const child = spawn(process.execPath, ["--input-type=module", "-e", script, args], { stdio: "inherit" });
      return ((await once(child, "close")) as [number])[0];
    };
    assert.deepEqual(await Promise.all([tuner("a"), tuner("b")]), [0, 0]);
    const [file] = readdirSync(shared);
    const lines = readFileSync(join(shared, file!), "utf8")
      .split("\n")
      .filter((line) => line !== "");
    const names = lines.map((line) => (JSON.parse(line) as RegionRecord).signature);
    assert.equal(new Set(names).size, 400);
    const store = new RecordStore(target, shared);
    for (const name of ["a0", "a199", "b0", "b199"]) assert.equal(store.get(name, 2)?.title.length, 30_000);
  });

  it("are read where nothing can be written, and journals go elsewhere", (t) => {
    const fixed = join(folder, "fixed");
    new RecordStore(target, fixed).add(record("h", 4));
    if (spawnSync("mount", ["--bind", fixed, fixed]).status !== 0) return t.skip("nothing can be mounted here");
    try {
      assert.equal(spawnSync("mount", ["-o", "remount,bind,ro", fixed]).status, 0);
      const store = new RecordStore(target, fixed);
      assert.deepEqual(known(store, "h"), record("h", 4));
      store.add(record("i", 1));
      assert.deepEqual(known(store, "i"), record("i", 1));
      assert.ok(!store.journalPath().startsWith(fixed));
    } finally {
      spawnSync("umount", [fixed]);
    }
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
    assert.deepEqual(known(store, "f"), record("f", 1));
    assert.ok(store.journalPath().startsWith(tmpdir()));
  });

  it("of another machine are in another file", () => {
    assert.equal(new RecordStore({ ...target, hardware: "another" }, folder).get("a", 2), undefined);
  });
});

describe("a record file", () => {
  const store = (text: string): RecordStore => {
    const place = mkdtempSync(join(folder, "file-"));
    writeFileSync(new RecordStore(target, place).file, text);
    return new RecordStore(target, place);
  };
  const on = { device: target.device, hardware: target.hardware, isa: target.isa };
  const line = (signature: string, p50: number, measuredAt: string, versions = record("", 0).versions): string =>
    recordLine({ ...record(signature, p50), measuredAt, versions }, on);
  const p50 = (from: RecordStore, signature: string, versions = {}): number | undefined =>
    from.get(signature, 2, versions)?.measurements[0]!.us!.p50;

  it("made of two by any order of lines says the same: what was measured last counts", () => {
    const lines = [line("a", 1, "2026-01-01"), line("a", 2, "2026-03-01"), line("b", 3, "2026-02-01"), line("a", 4, "2026-02-01")]; // prettier-ignore
    for (const order of [lines, lines.toReversed(), [...lines.slice(2), ...lines.slice(0, 2)]]) {
      const merged = store(`${order.join("\n")}\n`);
      assert.deepEqual([p50(merged, "a"), p50(merged, "b"), merged.problems], [2, 3, []]);
    }
  });

  it("keeps what several versions measured, and gives what answers for most of those that are here", () => {
    const both = store([line("a", 1, "2026-01-01", { p: "1", q: "1" }), line("a", 2, "2026-03-01", { p: "2", q: "1" })].join("\n")); // prettier-ignore
    assert.equal(p50(both, "a", { p: "1", q: "1" }), 1);
    assert.equal(p50(both, "a", { p: "2", q: "1" }), 2);
    assert.equal(p50(both, "a", { p: "3", q: "1" }), 2, "of equals the newest");
    assert.equal(p50(both, "a"), 2);
  });

  it("of several machines gives each its own", () => {
    const foreign = recordLine(record("a", 9), { ...on, hardware: "another" });
    assert.equal(p50(store([line("a", 1, "2026-01-01"), foreign].join("\n")), "a"), 1);
    assert.equal(p50(store(foreign), "a"), undefined);
  });

  it("with a conflict that a merge left is read on both sides, and says at which line", () => {
    const text = ["<<<<<<< HEAD", line("a", 1, "2026-01-01"), "||||||| base", "=======", line("b", 2, "2026-01-01"), ">>>>>>> theirs"].join("\n"); // prettier-ignore
    const merged = store(text);
    assert.deepEqual([p50(merged, "a"), p50(merged, "b")], [1, 2]);
    assert.equal(merged.problems.length, 1);
    assert.match(merged.problems[0]!, /\.jsonl:1: a merge left a conflict here; both its sides are read/);
  });

  it("names lines that it passes over", () => {
    const { problems } = store([line("a", 1, "2026-01-01"), "{", "[]", '{"pin":"linear"}', '{"title":"x"}'].join("\n"));
    assert.deepEqual(
      problems.map((problem) => problem.replace(/^.*jsonl/, "").slice(0, 40)),
      [":2: it is no JSON: Expected property nam", ":3: it is no JSON object", ":4: this pin cannot be read: provider: I", ":5: this is neither a record nor a pin: "], // prettier-ignore
    );
  });

  it("begins each line with what a reader looks for", () => {
    const [measurement] = record("", 1).measurements;
    const slower = { ...measurement!, candidate: { ...measurement!.candidate, provider: "q" }, us: { p20: 2, p50: 2.2, p80: 2.4, runs: 12 } }; // prettier-ignore
    const faster = { ...measurement!, us: { p20: 1.9, p50: 2, p80: 2.1, runs: 12 } };
    const written = recordLine({ ...record("a", 1), measurements: [slower, faster] }, on);
    assert.ok(
      written.startsWith(
        '{"title":"linear f32 [2, 3]","winner":{"provider":"p","id":"one","us":2,"spread":0.1,"over":"q one","margin":1.1,"confidence":0.981},"signature":"a","on":',
      ),
      written,
    );
  });

  it("of an older form, without device and time, is read as this device's", () => {
    const old = store(`${JSON.stringify(record("a", 3))}\n`);
    assert.equal(p50(old, "a"), 3);
    old.add(record("a", 4));
    assert.equal(p50(new RecordStore(target, dirname(old.file)), "a"), 4);
  });
});

describe("the journal", () => {
  it("of a killed tuner is left alone while its worker lives, and counts against its candidate when that is dead", () => {
    const store = new RecordStore(target, folder);
    const path = store.journalPath().replace(`.${process.pid}.`, ".999999999.");
    const candidates = [{ provider: "p", version: "1", id: "one", key: "p/one/0" }];
    const write = (worker: number): void =>
      writeFileSync(path, `${`timing 0 3 ${worker}`.padEnd(63)}\n${JSON.stringify({ signature: "k", candidates })}`);
    write(process.pid);
    assert.deepEqual(new RecordStore(target, folder).quarantined("k"), []);
    assert.ok(existsSync(path));
    write(999_999_998);
    assert.deepEqual(new RecordStore(target, folder).quarantined("k"), [], "once may be a kill from outside");
    assert.ok(!existsSync(path));
    write(999_999_998);
    assert.deepEqual(new RecordStore(target, folder).quarantined("k").map(({ key }) => key), ["p/one/0"]); // prettier-ignore
  });

  it("that makes no sense is taken away and accuses nobody", () => {
    const store = new RecordStore(target, folder);
    const path = store.journalPath().replace(`.${process.pid}.`, ".999999997.");
    for (const text of [
      "",
      "\0".repeat(64),
      "timing 7 1",
      `${"timing 5 1".padEnd(63)}\n{"signature":"m","candidates":[]}`,
      `${"timing 0 1".padEnd(63)}\n{"signature`,
    ]) {
      writeFileSync(path, text);
      assert.deepEqual(new RecordStore(target, folder).quarantined("m"), []);
      assert.ok(!existsSync(path), text);
    }
  });

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
    assert.equal(readWorker(path), process.pid);
    writer.close();
    assert.equal(readMark(join(folder, "nothing")), undefined);
    assert.equal(readContext(join(folder, "nothing")), undefined);
  });
});
