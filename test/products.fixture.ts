// A profile and every candidate's time for two hundred products (bench/cpu-shapes.md), as they were on one and on two
// cores of an AMD EPYC (Zen 4) on 2026-11-29.
import { readFileSync } from "node:fs";
import type { Tiling } from "../src/provider/provider.js";
import type { FamilySamples, Profile } from "../src/tuner/shapes/profile.js";

export interface TimedProduct {
  readonly rows: number;
  readonly columns: number;
  readonly terms: number;
  /** Of every candidate; microseconds are the tenth percentile of its runs. */
  readonly times: readonly { readonly provider: string; readonly family: string; readonly us: number; readonly tiling?: Tiling }[];
} // prettier-ignore

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
  /** Of every candidate: its family's index and microseconds. */
  readonly times: readonly (readonly [number, number, TilingIndex])[];
}

/** The first line of a file has the tilings, then come a line a family and a line a product. */
export function productsOf(threads: 1 | 2): { readonly profile: Profile; readonly products: readonly TimedProduct[] } {
  const file = new URL(`../../test/fixtures/products-${threads}.jsonl`, import.meta.url);
  const lines = readFileSync(file, "utf8").trim().split("\n").map((line) => JSON.parse(line) as Partial<Tilings & Family & Timed>); // prettier-ignore
  const { tilings } = lines[0] as Tilings;
  const tilingAt = (index: TilingIndex): { readonly tiling?: Tiling } => {
    const of = tilings[index];
    if (!of) return {};
    const [rows, columns, terms, blockRows, blockColumns, copies] = of;
    return { tiling: { program: { rows, columns, terms }, block: { rows: blockRows, columns: blockColumns }, copiesRows: copies === 1 } }; // prettier-ignore
  };
  const families = lines.filter((line): line is Family => line.family !== undefined).map(
    ({ provider, family, samples }): FamilySamples => ({
      provider, family, version: "1",
      samples: samples.map(([rows, columns, terms, us, of]) => ({ rows, columns, terms, us, ...tilingAt(of) })),
    }),
  ); // prettier-ignore
  const products = lines.filter((line): line is Timed => line.times !== undefined).map(
    ({ sizes: [rows, columns, terms], times }): TimedProduct => ({
      rows, columns, terms,
      times: times.map(([of, us, tiling]) => ({ provider: families[of]!.provider, family: families[of]!.family, us, ...tilingAt(tiling) })),
    }),
  ); // prettier-ignore
  return { profile: { format: 1, threads, dtype: "f32", versions: {}, families }, products };
}
