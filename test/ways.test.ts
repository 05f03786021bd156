// What providers tell of products at other heights is what they offer when they are asked there.
import assert from "node:assert/strict";
import { test } from "node:test";
import { cpuTarget } from "../src/device/cpu/target.js";
import type { DType } from "../src/core/dtype.js";
import { Regions, type Region } from "../src/graph/region.js";
import { materialize } from "../src/graph/storage.js";
import { Words } from "../src/graph/words.js";
import { openProviders } from "../src/provider/open.js";
import { isCannot, type Provider, type Way } from "../src/provider/provider.js";
import { magnitudeOf } from "../src/tuner/shapes/break-points.js";

const HEIGHTS = [
  1, 2, 3, 4, 5, 7, 8, 11, 13, 14, 15, 16, 17, 24, 25, 40, 49, 77, 97, 129, 200, 257, 511, 513, 700, 1025,
];
const WEIGHTS = [[256, 256], [96, 40], [30, 1024], [3072, 768], [17, 2050]] as const; // prettier-ignore

function regionOf(dtype: DType, rows: number, [columns, terms]: readonly [number, number], isGated: boolean): Region {
  const g = new Words("product");
  const y = g.linear(g.input("x", dtype, [rows, terms]), g.weight("w", dtype, [columns, terms]));
  const regions = new Regions(materialize(g.finish({ y: isGated ? g.silu(y) : y })));
  return regions.region(regions.work.map(({ id }) => id));
}

function offered(provider: Provider, region: Region): readonly Way[] {
  const answer = provider.candidates(region, "full");
  return isCannot(answer) ? [] : answer.map(({ id, method, tiling }) => ({ method: method ?? id, ...(tiling && { tiling }) })); // prettier-ignore
}

for (const threads of [1, 2])
  test(`ways at any height are the candidates there, ${threads} threads`, async () => {
    const opened = await openProviders(cpuTarget(threads));
    assert.ok(opened.providers.length > 0);
    for (const dtype of ["f32", "bf16"] as const)
      for (const weight of WEIGHTS)
        for (const isGated of [false, true])
          for (const provider of opened.providers) {
            const first = new Map<number, readonly Way[]>();
            const at = provider.waysAt?.(regionOf(dtype, 60, weight, isGated));
            for (const rows of HEIGHTS) {
              const there = offered(provider, regionOf(dtype, rows, weight, isGated));
              const magnitude = magnitudeOf(rows);
              if (!first.has(magnitude)) first.set(magnitude, there);
              assert.deepEqual(at ? at(rows) : first.get(magnitude), there, `${provider.name}: ${dtype}, ${rows} × ${weight.join(" × ")}`); // prettier-ignore
            }
          }
    opened.dispose();
  });
