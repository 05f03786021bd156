// What was measured of the two hundred products against what the machine's profile foretells: shares of the best, a
// table of all picks, and a picture of GFLOP/s over rows for each weight.
import type { Candidate, Provider } from "../src/provider/provider.js";
import { quantile } from "../src/core/statistics.js";
import type { ProductForecast } from "../src/tuner/shapes/forecast.js";
import type { Choice } from "../src/tuner/shapes/choices.js";
import { regionOf, type Product } from "../src/tuner/shapes/product.js";

export interface Result extends Pick<Candidate, "provider" | "id" | "method" | "tiling"> {
  readonly key: string;
  /** Of every run but the first; none where the candidate could not be bound. */
  readonly us: readonly number[];
}

export interface Line {
  readonly threads: number;
  readonly stage: "measure" | "again";
  /** Share of the time in which other programs kept a thread waiting. */
  readonly disturbed: number;
  readonly shape: Product;
  readonly results: readonly Result[];
}

/** What disturbs a run only adds to it. */
export const usOf = ({ us }: Pick<Result, "us">): number => quantile(us, 0.1);

export interface Picked {
  readonly line: Line;
  readonly pick: Result;
  readonly foretoldUs: number;
  readonly best: Result;
  /** Of the best; 1 is the best itself. */
  readonly share: number;
  /** The same of the second measurement; absent where there is none. */
  readonly again?: number;
}

const ran = ({ results }: Line): readonly Result[] => results.filter(({ us }) => us.length > 0);

const byTime = (line: Line): readonly Result[] => ran(line).toSorted((a, b) => usOf(a) - usOf(b));

/** The candidate that the forecast expects to be the fastest; undefined where it knows none. */
function pickOf(line: Line, forecast: ProductForecast): { readonly one: Result; readonly us: number } | undefined {
  const known = ran(line).flatMap((one) => {
    const us = forecast.us(line.shape, one);
    return us === undefined ? [] : [{ one, us }];
  });
  return known.sort((a, b) => a.us - b.us)[0];
}

/** The fastest of a product and what the forecast picks. */
export function contendersOf(line: Line, forecast: ProductForecast, fastest: number): readonly Result[] {
  const pick = pickOf(line, forecast);
  return [...byTime(line).slice(0, fastest), ...(pick ? [pick.one] : [])];
}

/**
 * What the forecast picks of each line's candidates; lines it knows nothing of are left out. The fastest of many was
 * lucky, too, so its rivals are the fastest three, measured again beside it.
 */
export function picksOf(
  lines: readonly Line[],
  again: ReadonlyMap<string, Line>,
  forecast: ProductForecast,
): readonly Picked[] {
  return lines.flatMap((line) => {
    const pick = pickOf(line, forecast);
    const [best] = byTime(line);
    if (!pick || !best) return [];
    const share = usOf(best) / usOf(pick.one);
    const { rows, columns, terms } = line.shape;
    const second = again.get(`${rows}x${columns}x${terms}`);
    const same = second && ran(second).find(({ key }) => key === pick.one.key);
    const met = second && same ? { again: usOf(byTime(second)[0]!) / usOf(same) } : {};
    return [{ line, pick: pick.one, foretoldUs: pick.us, best, share, ...met }];
  });
}

export function summaryOf(picks: readonly Picked[]): string {
  const disturbed = quantile(picks.map(({ line }) => line.disturbed), 0.5); // prettier-ignore
  const second = picks.flatMap(({ again }) => again ?? []);
  return `first measurement: ${sharesText(picks.map(({ share }) => share))}; second: ${sharesText(second)}; threads waited for other programs in ${(100 * disturbed).toFixed(0)} % of the time (median)`;
}

const sharesText = (shares: readonly number[]): string =>
  `${shares.length} products, mean ${(100 * (shares.reduce((sum, share) => sum + share, 0) / shares.length)).toFixed(1)} % of the best, fifth percentile ${(100 * quantile(shares, 0.05)).toFixed(1)} %`;

/** Microseconds of a processor for one choice among the candidates of a product, each foretold. */
export function foretellingUs(lines: readonly Line[], forecast: ProductForecast): number {
  const all = (): void => lines.forEach(({ shape, results }) => results.forEach((one) => forecast.us(shape, one)));
  return usOfEach(all, lines.length);
}

export interface Tables {
  /** Milliseconds of a processor to make the tables of 1 … 4095 rows, a weight. */
  readonly ms: number;
  /** Heights at which the choice changes, a weight. */
  readonly breakPoints: number;
  /** Of a later choice, in microseconds of a processor. */
  readonly choiceUs: number;
}

/** What break points over rows cost and save, on average over the weights of these products. */
export function tablesOf(products: readonly Product[], { choices }: ProductForecast, providers: readonly Provider[]): Tables {
  const weights = [...new Map(products.map((one) => [`${one.columns}x${one.terms}`, one])).values()];
  let [ms, breakPoints] = [0, 0];
  const chooses = weights.map((weight) => {
    const all = Array.from({ length: 4095 }, (_, i) => {
      const product = { ...weight, rows: i + 1 };
      return { product, region: regionOf(product) };
    });
    const choose = ({ product, region }: (typeof all)[number]): Choice | undefined =>
      choices.fastest(region, product, providers, (provider) => provider.candidates(region, "full"));
    for (let rows = 1; rows < all.length; rows *= 2) choose(all[rows - 1]!); // asks everybody
    const start = process.cpuUsage();
    for (let rows = 1; rows < all.length; rows *= 2) choose(all[Math.min(all.length, 2 * rows - 1) - 1]!);
    ms += process.cpuUsage(start).user / 1e3;
    const picks = all.map(choose);
    breakPoints += picks.filter((pick, i) => i > 0 && pick !== picks[i - 1] && (pick?.provider !== picks[i - 1]?.provider || pick?.index !== picks[i - 1]?.index)).length; // prettier-ignore
    return usOfEach(() => all.forEach(choose), all.length);
  });
  const mean = (sum: number): number => sum / weights.length;
  return { ms: mean(ms), breakPoints: mean(breakPoints), choiceUs: mean(chooses.reduce((a, b) => a + b, 0)) };
} // prettier-ignore

/** Of one of `count` works that are done together; at first they are compiled under way. */
function usOfEach(work: () => void, count: number): number {
  const rounds = Math.ceil(WORKS / count);
  for (let round = 0; round < rounds; round++) work();
  const start = process.cpuUsage();
  for (let round = 0; round < rounds; round++) work();
  return process.cpuUsage(start).user / (rounds * count);
}

/** So many together take longer than the clock's ticks. */
const WORKS = 40_000;

const nameOf = ({ provider, id }: Result): string => `${provider} ${id}`;

export const csvOf = (picks: readonly Picked[]): string =>
  [
    "threads,rows,columns,terms,disturbed,pick,foretold_us,pick_us,best,best_us,share,share_again",
    ...picks.map(({ line: { threads, disturbed, shape }, pick, foretoldUs, best, share, again }) =>
      [threads, shape.rows, shape.columns, shape.terms, disturbed.toFixed(2), `"${nameOf(pick)}"`, foretoldUs.toFixed(1), usOf(pick).toFixed(1), `"${nameOf(best)}"`, usOf(best).toFixed(1), share.toFixed(3), again?.toFixed(3) ?? ""].join(),
    ),
  ].join("\n") + "\n"; // prettier-ignore

const PANEL = { width: 230, height: 150, columns: 5, margin: 28 } as const;

/** One panel a weight: foretold as a line, the pick as a dot, the best as a ring. */
export function svgOf(picks: readonly Picked[]): string {
  const weights = new Map<string, Picked[]>();
  for (const one of picks) {
    const { columns, terms } = one.line.shape;
    const title = `${columns} × ${terms}`;
    weights.set(title, [...(weights.get(title) ?? []), one]);
  }
  const gflops = ({ line: { shape } }: Picked, us: number): number => (2e-3 * shape.rows * shape.columns * shape.terms) / us; // prettier-ignore
  const most = Math.max(...picks.map((one) => Math.max(gflops(one, usOf(one.best)), gflops(one, one.foretoldUs))));
  const panels = [...weights].map(([title, of], i) => {
    const [left, top] = [(i % PANEL.columns) * PANEL.width, Math.floor(i / PANEL.columns) * PANEL.height];
    const x = ({ line }: Picked): string => (left + PANEL.margin + ((PANEL.width - 2 * PANEL.margin) * Math.log(line.shape.rows)) / Math.log(4096)).toFixed(1); // prettier-ignore
    const y = (value: number): string => (top + PANEL.height - PANEL.margin - ((PANEL.height - 2 * PANEL.margin) * value) / most).toFixed(1); // prettier-ignore
    const sorted = of.toSorted((a, b) => a.line.shape.rows - b.line.shape.rows);
    const line = sorted.map((one) => `${x(one)},${y(gflops(one, one.foretoldUs))}`).join(" ");
    const dots = sorted.map((one) => `<circle cx="${x(one)}" cy="${y(gflops(one, usOf(one.best)))}" r="4" fill="none" stroke="#888"/><circle cx="${x(one)}" cy="${y(gflops(one, usOf(one.pick)))}" r="2" fill="#c33"/>`); // prettier-ignore
    return `<text x="${left + PANEL.margin}" y="${top + 18}">${title}</text><polyline points="${line}" fill="none" stroke="#36c"/>${dots.join("")}`;
  });
  const rows = Math.ceil(weights.size / PANEL.columns);
  const [width, height] = [PANEL.columns * PANEL.width, rows * PANEL.height + 20];
  const legend = `<text x="${PANEL.margin}" y="${height - 6}">GFLOP/s, 0 to ${most.toFixed(0)}, over rows, 1 to 4096. Line: foretold; dot: what the forecast picks; ring: the best.</text>`;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="11"><rect width="100%" height="100%" fill="#fff"/>${panels.join("")}${legend}</svg>\n`;
}
