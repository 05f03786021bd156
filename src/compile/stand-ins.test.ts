// What is said of regions that were not measured: by kin of other sizes, and of chains by their parts.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Regions, type Region } from "../graph/region.js";
import { Words } from "../graph/words.js";
import { candidateOf } from "../plan/graphs.fixture.js";
import { propose, type Proposal } from "../plan/propose.js";
import type { Provider } from "../provider/provider.js";
import { workOf } from "../tuner/worker/expectation.js";
import type { CandidateFacts, RegionRecord } from "../tuner/records/measurement.js";
import { kindOf, StandIns } from "./stand-ins.js";

/** silu(linear(x, w)) for `rows` rows. */
function chain(rows: number) {
  const g = new Words(`chain of ${rows}`);
  const hidden = g.linear(g.input("x", "f32", [rows, 64]), g.weight("w", "f32", [64, 64]));
  const proposals = propose(new Regions(g.finish({ y: g.silu(hidden) })), []);
  const of = (...ops: string[]): Region =>
    proposals.all.find(({ region }) => workOf(region).map(({ op }) => op).join() === ops.join())!.region; // prettier-ignore
  return { proposals, of };
}

const offer = (region: Region, way: string): CandidateFacts => ({
  ...candidateOf({ region } as Proposal, "fake", way),
  params: { way },
});

/** Offers two ways for everything. */
const provider = {
  name: "fake",
  candidates: (region: Region) => ["a", "b"].map((way) => ({ ...offer(region, way), method: way })), // prettier-ignore
} as unknown as Provider;

const recordOf = (region: Region, times: Readonly<Record<string, number>>): RegionRecord => ({
  signature: region.signature,
  title: "",
  threads: 1,
  measurements: Object.entries(times).map(([way, p50]) => ({
    candidate: offer(region, way),
    verdict: { kind: "accepted" },
    us: { p20: p50, p50, p80: p50, runs: 9 },
  })),
  cannot: [],
  versions: {},
});

const timesOf = (record: RegionRecord | undefined): Readonly<Record<string, number>> =>
  Object.fromEntries(record?.measurements.map(({ candidate, us }) => [String(candidate.params["way"]), us!.p50]) ?? []);

test("kin are the same ops on other sizes, and their fastest candidates stand in by the work they differ by", () => {
  const [small, large] = [chain(64).of("linear"), chain(512).of("linear")];
  assert.equal(kindOf(small), kindOf(large));
  assert.notEqual(kindOf(small), kindOf(chain(64).of("linear", "silu")));
  const record = new StandIns([provider], [{ region: small, record: recordOf(small, { a: 40, b: 10 }) }]).ofKin(large);
  assert.deepEqual(Object.keys(timesOf(record)), ["b"], "laid out alike, only the fastest counts");
  const { b } = timesOf(record);
  assert.ok(b! > 20 && b! < 80, `${b}`);
  assert.equal(record!.measurements[0]!.us!.runs, 0, "it does not pass for measured");
});

test("nothing is said where nothing of the kind was measured, or sizes are too far apart", () => {
  const [small, huge] = [chain(64).of("linear"), chain(2 ** 20).of("linear")];
  const standIns = new StandIns([provider], [{ region: small, record: recordOf(small, { a: 40 }) }]);
  assert.equal(standIns.ofKin(chain(64).of("silu")), undefined);
  assert.equal(standIns.ofKin(huge), undefined);
});

test("a chain takes what its parts take, less the step and the tensor between them, and no less than its head", () => {
  const { proposals, of } = chain(64);
  const [linear, silu, both] = [of("linear"), of("silu"), of("linear", "silu")];
  const known = (siluUs: number) => {
    const records = [recordOf(linear, { a: 40, b: 10 }), recordOf(silu, { a: siluUs })];
    const measured = (signature: string) => records.find((record) => record.signature === signature);
    return timesOf(new StandIns([provider], []).records(proposals, measured, () => undefined)(both.signature));
  };
  const { a, b } = known(9);
  assert.ok(a! > 40 && a! < 49 && b! > 10 && b! < 19, `${a} ${b}`);
  assert.equal(a! - b!, 30);
  assert.deepEqual(known(0.1), { a: 40, b: 10 });
});

test("a chain with a part that nothing is known of stays unknown", () => {
  const { proposals, of } = chain(64);
  const record = recordOf(of("linear"), { a: 40 });
  const measured = (signature: string) => (signature === record.signature ? record : undefined);
  const records = new StandIns([provider], []).records(proposals, measured, () => undefined);
  assert.equal(records(of("linear", "silu").signature), undefined);
});
