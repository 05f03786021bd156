// The forecast held to measured times (products.fixture.ts).
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { quantile } from "../src/core/statistics.js";
import { anchors } from "../src/tuner/shapes/anchors.js";
import { ProductForecast } from "../src/tuner/shapes/forecast.js";
import type { Sample } from "../src/tuner/shapes/profile.js";
import { productsOf } from "./products.fixture.js";

type Sizes = Pick<Sample, "rows" | "columns" | "terms">;

const nameOf = ({ rows, columns, terms }: Sizes): string => `${rows}x${columns}x${terms}`;

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

for (const threads of [1, 2] as const)
  describe(`${threads} threads`, () => {
    const { profile, products } = productsOf(threads);
    const seen = new Set(profile.families.flatMap(({ samples }) => samples.map(nameOf)));

    /** By product that is no anchor: its rows, and the time of the pick as a share of the best's, from those samples that `keeps` keeps. */
    function sharesOf(
      keeps: (sample: Sample) => boolean,
    ): readonly { readonly rows: number; readonly share: number }[] {
      const families = profile.families.map((family) => ({ ...family, samples: family.samples.filter(keeps) }));
      const forecast = new ProductForecast({ ...profile, families });
      const unseen = products.filter((product) => !seen.has(nameOf(product)));
      return unseen.map(({ times, ...sizes }) => {
        const foretold = times.map(({ provider, family, us, tiling }) => ({
          us, foretoldUs: forecast.us({ dtype: "f32", ...sizes }, { provider, id: family, ...(tiling && { tiling }) })!,
        })); // prettier-ignore
        const pick = foretold.reduce((a, b) => (b.foretoldUs < a.foretoldUs ? b : a));
        return { rows: sizes.rows, share: Math.min(...times.map(({ us }) => us)) / pick.us };
      });
    }

    test("the profile lies at the anchors", () => {
      assert.deepEqual(seen, new Set(anchors("f32").map(({ product }) => nameOf(product))));
    });

    test("picks for sizes never seen take 95 % of the best on average, 85 % at the fifth percentile", () => {
      const shares = sharesOf(() => true).map(({ share }) => share);
      assert.equal(shares.length, 197);
      assert.ok(mean(shares) >= 0.95, `mean ${mean(shares)}`);
      assert.ok(quantile(shares, 0.05) >= 0.85, `fifth percentile ${quantile(shares, 0.05)}`);
    });

    // On one thread libxsmm's are as fast there.
    if (threads === 1) return;

    test("how fast a block of fourteen rows is when it is full is not foretold from lower and higher ones", () => {
      const low = (all: ReturnType<typeof sharesOf>): readonly number[] =>
        all.flatMap(({ rows, share }) => (rows >= 12 && rows <= 15 ? share : []));
      const [shown, notShown] = [low(sharesOf(() => true)), low(sharesOf(({ rows }) => rows !== 14))];
      assert.ok(shown.length >= 8, `${shown.length} products`);
      assert.ok(mean(shown) >= 0.95, `mean ${mean(shown)}`);
      assert.ok(mean(shown) > mean(notShown) + 0.05, `${mean(shown)} with that height, ${mean(notShown)} without`);
    });
  });
