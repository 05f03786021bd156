// A quick tune on a machine with a profile: what it foretells is measured first, and more only where it was wrong.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { ownCache } from "../src/core/cache.fixture.js";
import { cpuTarget } from "../src/device/cpu/target.js";
import type { ProviderSpec } from "../src/provider/open.js";
import type { RegionRecord } from "../src/tuner/records/measurement.js";
import { regionOf } from "../src/tuner/shapes/product.js";
import { emptyProfile, profilePath, writeProfile, type Sample } from "../src/tuner/shapes/profile.js";
import { tune } from "../src/tuner/tune.js";

const folder = mkdtempSync(join(tmpdir(), "troupe-foretold-"));
process.env.TROUPE_CACHE = ownCache(join(folder, "cache"));
after(() => rmSync(folder, { recursive: true, force: true }));
const target = cpuTarget(1);
const many: ProviderSpec = { name: "many", module: new URL("./providers/many/provider.js", import.meta.url).href };

/** Tunes a product where a profile says how long each way takes, in milliseconds. */
async function tuned(foretoldMs: Readonly<Record<string, number>>): Promise<RegionRecord> {
  const samples = (ms: number): readonly Sample[] => [1, 4, 16, 64].map((rows) => ({ rows, columns: 8, terms: 16, us: 1e3 * ms })); // prettier-ignore
  const families = Object.entries(foretoldMs).map(([family, ms]) => ({ provider: "many", version: "1", family, samples: samples(ms) })); // prettier-ignore
  writeProfile(profilePath(target, "f32"), { ...emptyProfile(1, "f32"), versions: { many: "1" }, families });
  const region = regionOf({ dtype: "f32", rows: 5, columns: 8, terms: 16 });
  const { records } = await tune([region], target, { specs: [many], records: false, effort: "quick" });
  return records[0]!;
}

const tried = ({ measurements }: RegionRecord): readonly string[] => measurements.map(({ candidate }) => candidate.id).toSorted(); // prettier-ignore
const winner = ({ measurements }: RegionRecord): string => measurements.toSorted((a, b) => a.us!.p50 - b.us!.p50)[0]!.candidate.id; // prettier-ignore

test("where the profile is right its first three are measured, and the provider's first", async () => {
  const record = await tuned({ "40 ms": 40, "30 ms": 30, "1 ms": 1, "35 ms": 35, "10 ms": 10, "5 ms": 5 });
  assert.deepEqual(tried(record), ["1 ms", "10 ms", "40 ms", "5 ms"]);
  assert.equal(winner(record), "1 ms");
  assert.match(record.cannot.map(({ reason }) => reason).join(), /profile foretold others to be faster/);
});

test("where it is wrong the others follow", async () => {
  const record = await tuned({ "40 ms": 1, "30 ms": 2, "1 ms": 8, "35 ms": 3, "10 ms": 9 });
  assert.deepEqual(tried(record), ["1 ms", "10 ms", "30 ms", "35 ms", "40 ms", "5 ms"]);
  assert.equal(winner(record), "1 ms");
  assert.deepEqual(record.cannot, []);
});

test("without one all are tried, as ever", async () => {
  assert.equal(tried(await tuned({})).length, 6);
});
