// Tuning on a GPU: what providers offer is compared with plain kernels in float32 there, and timed there.
import assert from "node:assert/strict";
import test from "node:test";
import { cudaTarget, whyNoCudaDevice } from "../../device/cuda/target.js";
import type { Graph, Value } from "../../graph/node.js";
import { Regions } from "../../graph/region.js";
import { Words } from "../../graph/words.js";
import { tune } from "../tune.js";

const skip = whyNoCudaDevice() ?? false;

function graphOf(build: (g: Words) => Value): Graph {
  const g = new Words("tuned");
  return g.finish({ y: build(g) });
}

const cases = {
  "linear, GELU": graphOf((g) => g.geluTanh(g.linear(g.input("x", "bf16", [640, 384]), g.weight("w", "bf16", [512, 384]), g.weight("b", "bf16", [512])))),
  "attention on strided operands": graphOf((g) => {
    const [q, k, v] = g.split(g.input("qkv", "bf16", [1, 320, 12, 64]), 2, [4, 4, 4]) as [Value, Value, Value];
    return g.attention(q, k, v);
  }),
  "layer norm in f32": graphOf((g) => g.layerNorm(g.input("x", "f32", [37, 1000]), undefined, 1e-6)),
  "embedding": graphOf((g) => g.embedding(g.input("ids", "i32", [1, 9]), g.weight("table", "bf16", [50, 64]))),
}; // prettier-ignore

for (const [name, graph] of Object.entries(cases))
  test(`${name}: every candidate is right and has a time`, { skip }, async () => {
    const regions = new Regions(graph);
    const region = regions.region(regions.work.map(({ id }) => id));
    const { records } = await tune([region], cudaTarget(), { records: false });
    const [record] = records;
    assert.ok(record && record.measurements.length > 0, JSON.stringify(record?.cannot));
    for (const { candidate, verdict, us, error } of record.measurements) {
      assert.equal(verdict.kind, "accepted", `${candidate.provider} ${candidate.id}: ${JSON.stringify(verdict)}`);
      assert.ok(us && us.p50 > 0.5 && us.p50 < 1e5, `${candidate.id} takes ${us?.p50} us`);
      assert.ok(error! < 2e-2, `${candidate.id} is off by ${error}`);
    }
  });
