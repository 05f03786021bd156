// Break points over rows held to a look at every way, on the curves of a real profile (products.fixture.ts).
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Regions, type Region } from "../src/graph/region.js";
import { materialize } from "../src/graph/storage.js";
import { Words } from "../src/graph/words.js";
import { waysAt } from "../src/provider/libxsmm/product.js";
import { isCannot, type Candidate, type Provider, type Way } from "../src/provider/provider.js";
import { methodOf, productVariants, tilingOf } from "../src/provider/tile/space.js";
import type { Choice } from "../src/tuner/shapes/choices.js";
import { ProductForecast } from "../src/tuner/shapes/forecast.js";
import { productOf, regionOf, type Product } from "../src/tuner/shapes/product.js";
import { productsOf } from "./products.fixture.js";

type Ways = (rows: number) => readonly Way[];

/** Offers ways and no more. */
const provider = (name: string, ids: readonly string[], ways?: (region: Region) => Ways): Provider => ({
  name,
  version: "1",
  patterns: () => [],
  candidates: () => ids.map((id) => ({ provider: name, id }) as Candidate),
  revive: () => ({ cannot: "nothing is built here" }),
  dispose: () => undefined,
  ...(ways && { waysAt: ways }),
});

/** The ways of our kernels and of libxsmm, and what libraries were timed. */
function providersOf(threads: number, families: readonly { readonly provider: string; readonly family: string }[]): readonly Provider[] {
  const target = { vectorBytes: 64, bf16dot: true, threads } as const;
  const tile = (region: Region): Ways => {
    const { columns: N, terms: K } = productOf(region)!;
    return (M) =>
      productVariants({ M, N, K, batch: 1, weight: true, bf16: false }, target, "full").map((variant) => ({
        method: methodOf(variant), tiling: tilingOf(variant, target)!,
      })); // prettier-ignore
  };
  const libraries = ["onednn", "blas", "onnxruntime"].map((name) => provider(name, families.flatMap((one) => (one.provider === name && !one.family.endsWith("v") ? one.family : [])))); // prettier-ignore
  return [provider("tile", [], tile), ...libraries, provider("libxsmm", [], (region) => waysAt(region, threads)), provider("unknown", ["x"])]; // prettier-ignore
} // prettier-ignore

const WEIGHTS = [[768, 768], [3072, 12288], [1792, 256], [14336, 4096]] as const; // prettier-ignore

for (const threads of [1, 2] as const)
  describe(`${threads} threads`, () => {
    const { profile } = productsOf(threads);
    const providers = providersOf(threads, profile.families);
    const ask = (one: Provider): readonly Candidate[] => one.candidates(undefined as never, "full") as Candidate[];

    for (const [columns, terms] of WEIGHTS)
      test(`${columns} × ${terms}: the table has the fastest way at each of 4095 heights`, () => {
        const forecast = new ProductForecast(profile);
        const direct = new ProductForecast(profile);
        const region = regionOf({ dtype: "f32", rows: 8, columns, terms });
        const menus = providers.map((one) => one.waysAt?.(region) ?? (() => ask(one).map(({ id }): Way => ({ method: id })))); // prettier-ignore
        const fastest = (product: Product): Choice => {
          const all = providers.flatMap(({ name: of }, i) =>
            menus[i]!(product.rows).map((way, index) => ({
              choice: { provider: of, index },
              us: direct.us(product, { provider: of, id: way.method, ...way }) ?? Number.POSITIVE_INFINITY,
            })),
          );
          return all.reduce((a, b) => (b.us < a.us ? b : a)).choice;
        };
        let changes = 0;
        for (let rows = 4095, last = ""; rows > 0; rows--) {
          const product = { dtype: "f32", rows, columns, terms } as const;
          const found = forecast.choices.fastest(regionOf(product), product, providers, ask);
          assert.deepEqual(found, fastest(product), `${rows} rows`);
          const name = `${found!.provider} ${found!.index}`;
          if (name !== last) changes++;
          last = name;
        }
        assert.ok(changes >= 3, `${changes} changes`);
      });

    test("a choice takes less than ten microseconds", () => {
      const { choices } = new ProductForecast(profile);
      const regions = WEIGHTS.flatMap(([columns, terms]) =>
        Array.from({ length: 400 }, (_, i) => {
          const product = { dtype: "f32", rows: 1 + ((i * 1009) % 4095), columns, terms } as const;
          return { region: regionOf(product), product };
        }),
      );
      const chooseAll = (): number => {
        const start = process.cpuUsage();
        for (const { region, product } of regions) choices.fastest(region, product, providers, ask);
        return process.cpuUsage(start).user / regions.length;
      };
      const us = Array.from({ length: 10 }, chooseAll).slice(2);
      assert.ok(Math.min(...us) < 10, `${us.map((one) => one.toFixed(1)).join()} us`);
    });

    test("who loses is asked about the first product of its kind and magnitude only", () => {
      const asked: string[] = [];
      const { choices } = new ProductForecast(profile);
      const choose = (rows: number, isGated: boolean): void => {
        const g = new Words("product");
        const y = g.linear(g.input("x", "f32", [rows, 768]), g.weight("w", "f32", [768, 768]));
        const regions = new Regions(materialize(g.finish({ y: isGated ? g.silu(y) : y })));
        const region = regions.region(regions.work.map(({ id }) => id));
        choices.fastest(region, productOf(region)!, providers, (one) => (asked.push(one.name), ask(one)));
      };
      const all = ["onednn", "blas", "onnxruntime", "unknown"];
      for (const [rows, isGated, count] of [[64, false, 1], [64, false, 1], [100, false, 1], [127, false, 1], [128, false, 2], [64, true, 3], [70, true, 3]] as const) {
        choose(rows, isGated);
        assert.deepEqual(asked, Array.from({ length: count }, () => all).flat(), `${rows} rows`);
      } // prettier-ignore
    });
  });

test("where nothing is known of any way nothing is chosen", () => {
  const { profile } = productsOf(1);
  const { choices } = new ProductForecast({ ...profile, families: [] });
  const product = { dtype: "f32", rows: 5, columns: 8, terms: 8 } as const;
  for (const rows of [5, 6, 7])
    assert.equal(choices.fastest(regionOf({ ...product, rows }), { ...product, rows }, [provider("unknown", ["x"])], (one) => {
      const answer = one.candidates(undefined as never, "full");
      return isCannot(answer) ? [] : answer;
    }), undefined); // prettier-ignore
});
