// Tunes one linear layer on the CUDA device of this process and prints what the tuner recorded.
import { cudaTarget } from "../../src/device/cuda/target.js";
import { Regions } from "../../src/graph/region.js";
import { Words } from "../../src/graph/words.js";
import { tune } from "../../src/tuner/tune.js";

const g = new Words("one layer");
const y = g.linear(
  g.input("x", "bf16", [4096, 1024]),
  g.weight("w", "bf16", [4096, 1024]),
  g.weight("b", "bf16", [4096]),
);
const regions = new Regions(g.finish({ y: g.geluTanh(y) }));
const { records, complete } = await tune([regions.region(regions.work.map(({ id }) => id))], cudaTarget(), { records: false }); // prettier-ignore
const rows = records.flatMap(({ measurements }) => measurements.map(({ candidate: { provider, id }, verdict, us, error }) => ({ provider, id, verdict, us, error }))); // prettier-ignore
console.log(JSON.stringify({ complete, rows }));
