// Tunes one linear layer on the CUDA device of this process and prints what the tuner recorded.
// usage: tune.fixture.js [MODULE_OF_ANOTHER_PROVIDER]
import { pathToFileURL } from "node:url";
import { cudaTarget } from "../../src/device/cuda/target.js";
import { Regions } from "../../src/graph/region.js";
import { Words } from "../../src/graph/words.js";
import { PROVIDERS } from "../../src/provider/open.js";
import { tune } from "../../src/tuner/tune.js";

const g = new Words("one layer");
const y = g.linear(
  g.input("x", "bf16", [4096, 1024]),
  g.weight("w", "bf16", [4096, 1024]),
  g.weight("b", "bf16", [4096]),
);
const [module] = process.argv.slice(2);
const specs = module === undefined ? PROVIDERS : [{ name: "wild", module: pathToFileURL(module).href }, ...PROVIDERS];
const regions = new Regions(g.finish({ y: g.geluTanh(y) }));
const { records, complete } = await tune([regions.region(regions.work.map(({ id }) => id))], cudaTarget(), { records: false, specs }); // prettier-ignore
const rows = records.flatMap(({ measurements }) => measurements.map(({ candidate: { provider, id }, verdict, us, error }) => ({ provider, id, verdict, us, error }))); // prettier-ignore
console.log(JSON.stringify({ complete, rows }));
