// The forecast held to measured times: a profile and every candidate's time for two hundred products
// (bench/cpu-shapes.md), as they were on two cores of an AMD EPYC (Zen 4) on 2026-11-29.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { quantile } from "../src/core/statistics.js";
import type { Tiling } from "../src/provider/provider.js";
import { anchors } from "../src/tuner/shapes/anchors.js";
import { Curve } from "../src/tuner/shapes/curve.js";

/** Index into the tilings, -1 for none. */
type TilingIndex = number;

interface Tilings {
  /** Rows, columns and terms of a program, rows and columns of a block, whether rows are copied. */
  readonly tilings: readonly (readonly [number, number, number, number, number, number])[];
}

interface Family {
  readonly provider: string;
  readonly family: string;
  /** Rows, columns, terms, microseconds. */
  readonly samples: readonly (readonly [number, number, number, number, TilingIndex])[];
}

interface Timed {
  /** Rows, columns, terms. */
  readonly sizes: readonly [number, number, number];
  /** Of every candidate: its family's index and microseconds, the tenth percentile of its runs. */
  readonly times: readonly (readonly [number, number, TilingIndex])[];
}

type Line = Tilings & Family & Timed;

/** The first line has the tilings, then come a line a family and a line a product. */
const file = new URL("../../test/fixtures/products.jsonl", import.meta.url);
const lines = readFileSync(file, "utf8").trim().split("\n").map((line) => JSON.parse(line) as Partial<Line>); // prettier-ignore
const { tilings } = lines[0] as Tilings;
const families = lines.filter((line): line is Family => line.family !== undefined);
const products = lines.filter((line): line is Timed => line.times !== undefined);

const tilingAt = (index: TilingIndex): Tiling | undefined => {
  const of = tilings[index];
  if (!of) return undefined;
  const [rows, columns, terms, blockRows, blockColumns, copies] = of;
  return { program: { rows, columns, terms }, block: { rows: blockRows, columns: blockColumns }, copiesRows: copies === 1 }; // prettier-ignore
};

type SampleRow = Family["samples"][number];

/** By product that is no anchor: its rows, and the time of the pick as a share of the best's, from those samples that `keeps` keeps. */
function sharesOf(keeps: (sample: SampleRow) => boolean): readonly { readonly rows: number; readonly share: number }[] {
  const curves = families.map(({ samples }) => {
    const kept = samples.filter(keeps).map(([rows, columns, terms, us, of]) => {
      const tiling = tilingAt(of);
      return { rows, columns, terms, us, ...(tiling && { tiling }) };
    });
    return new Curve(kept, { units: 2, bytes: 4 });
  });
  const unseen = products.filter(({ sizes }) => !seen.has(nameOf(sizes)));
  return unseen.map(({ sizes: [rows, columns, terms], times }) => {
    const foretold = times.map(([family, us, of]) => ({ us, foretoldUs: curves[family]!.us({ rows, columns, terms }, tilingAt(of)) }));
    const pick = foretold.reduce((a, b) => (b.foretoldUs < a.foretoldUs ? b : a));
    return { rows, share: Math.min(...times.map(([, us]) => us)) / pick.us };
  });
} // prettier-ignore

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

const nameOf = (sizes: readonly number[]): string => sizes.slice(0, 3).join("x");
const seen = new Set(families.flatMap(({ samples }) => samples.map(nameOf)));

test("the profile lies at the anchors", () => {
  const all = anchors("f32").map(({ product: { rows, columns, terms } }) => nameOf([rows, columns, terms]));
  assert.deepEqual(seen, new Set(all));
});

test("picks for sizes never seen take 95 % of the best on average, 85 % at the fifth percentile", () => {
  const shares = sharesOf(() => true).map(({ share }) => share);
  assert.equal(shares.length, 197);
  assert.ok(mean(shares) >= 0.95, `mean ${mean(shares)}`);
  assert.ok(quantile(shares, 0.05) >= 0.85, `fifth percentile ${quantile(shares, 0.05)}`);
});

test("how fast a block of fourteen rows is when it is full is not foretold from lower and higher ones", () => {
  const low = (all: ReturnType<typeof sharesOf>): readonly number[] =>
    all.flatMap(({ rows, share }) => (rows >= 12 && rows <= 15 ? share : []));
  const [shown, notShown] = [low(sharesOf(() => true)), low(sharesOf(([rows]) => rows !== 14))];
  assert.ok(shown.length >= 8, `${shown.length} products`);
  assert.ok(mean(shown) >= 0.95, `mean ${mean(shown)}`);
  assert.ok(mean(shown) > mean(notShown) + 0.05, `${mean(shown)} with that height, ${mean(notShown)} without`);
});
