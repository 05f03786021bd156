// Tunes a 3×3 convolution with bias and residual and a 1×1 one, on pictures whose layout is free, on the CUDA device of
// this process; prints what the tuner recorded, and what our kernels for tensor cores want of their operands.
// usage: convolutions.fixture.js
import { cudaTarget } from "../../src/device/cuda/target.js";
import type { Value } from "../../src/graph/node.js";
import { Regions } from "../../src/graph/region.js";
import { Words } from "../../src/graph/words.js";
import { PROVIDERS } from "../../src/provider/open.js";
import { isCannot } from "../../src/provider/provider.js";
import { openCudaTile } from "../../src/provider/tile/cuda.js";
import { tune } from "../../src/tuner/tune.js";

const [C, O, SIDE] = [128, 256, 64];
const g = new Words("convolutions");
const picture = (name: string, channels: number): Value => g.silu(g.input(name, "bf16", [1, channels, SIDE, SIDE]));
const conv = (name: string, taps: number): Value =>
  g.conv2d(picture(`${name}.x`, C), g.weight(`${name}.w`, "bf16", [O, C, taps, taps]), g.weight(`${name}.b`, "bf16", [O]), { padding: (taps - 1) / 2 }); // prettier-ignore
const wide = conv("wide", 3);
const sum = g.add(wide, picture("residual", O));
const narrow = conv("narrow", 1);
const regions = new Regions(g.finish({ wide: g.tanh(sum), narrow: g.tanh(narrow) }));
const regionOf = (...values: readonly Value[]) => regions.region(values.map(({ id }) => regions.work.find(({ outputs }) => outputs[0] === id)!.id)); // prettier-ignore
const both = [regionOf(wide, sum), regionOf(narrow)];

const tile = openCudaTile(cudaTarget());
if (isCannot(tile)) throw new Error(tile.cannot);
const skeletons = both.map((region) => {
  const candidates = tile.candidates(region, "full");
  return isCannot(candidates) ? [] : candidates.filter(({ params }) => (params as { way: string }).way === "skeleton");
});
const wanted = skeletons.map((some) => some.map(({ id, packs, layouts }) => ({ id, packs, layouts })));
const { records, complete } = await tune(both, cudaTarget(), { records: false, specs: PROVIDERS });
const rows = records.map(({ measurements }) => measurements.map(({ candidate: { provider, id }, verdict }) => ({ provider, id, verdict }))); // prettier-ignore
console.log(JSON.stringify({ complete, wanted, rows }));
