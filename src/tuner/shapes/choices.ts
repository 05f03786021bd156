// The fastest way to compute a product by the forecast, without asking those who lose: for every kind of product over
// one weight's sizes, and every doubling of its rows, what providers offer is kept, and break points over the rows from
// the second height on.
import { isContiguous, sizeOf } from "../../core/shape.js";
import type { Operand, Region } from "../../graph/region.js";
import { isCannot, type Candidate, type Cannot, type Provider, type Way } from "../../provider/provider.js";
import { workOf } from "../worker/expectation.js";
import { BreakPoints, magnitudeOf } from "./break-points.js";
import type { Product } from "./product.js";

/** One of what a provider offers for the product at hand at full effort. */
export interface Choice {
  readonly provider: string;
  readonly index: number;
}

/** A provider's answer about the region at hand, at full effort. */
export type Ask = (provider: Provider) => readonly Candidate[] | Cannot;

/** Microseconds; undefined where nothing is known of a provider's way. */
export type Foretell = (product: Product, provider: string, way: Way) => number | undefined;

export class Choices {
  readonly #foretell: Foretell;
  readonly #stretches = new Map<string, Stretch>();

  constructor(foretell: Foretell) {
    this.#foretell = foretell;
  }

  /** Who is expected to be the fastest; undefined where nothing is known of anybody. */
  fastest(region: Region, product: Product, providers: readonly Provider[], ask: Ask): Choice | undefined {
    const key = kindOf(region, product);
    let stretch = this.#stretches.get(key);
    if (!stretch) this.#stretches.set(key, (stretch = new Stretch(product, menusOf(region, providers, ask), this.#foretell))); // prettier-ignore
    return stretch.at(product.rows);
  }
}

/** What a provider offers for a product that has so many rows. */
interface Menu {
  readonly provider: string;
  readonly waysAt: (rows: number) => readonly Way[];
}

/** Providers without `waysAt` offer the same for all heights of one magnitude. */
const menusOf = (region: Region, providers: readonly Provider[], ask: Ask): readonly Menu[] =>
  providers.map((provider): Menu => {
    const waysAt = provider.waysAt?.(region);
    if (waysAt) return { provider: provider.name, waysAt };
    const answer = ask(provider);
    const ways = isCannot(answer) ? [] : answer.map(({ id, method, tiling }) => ({ method: method ?? id, ...(tiling && { tiling }) })); // prettier-ignore
    return { provider: provider.name, waysAt: () => ways };
  });

/** A kind of product at the heights of one magnitude. */
class Stretch {
  readonly #product: Product;
  readonly #menus: readonly Menu[];
  readonly #foretell: Foretell;
  /** By number. */
  readonly #choices: Choice[] = [];
  #table: BreakPoints | undefined;

  constructor(product: Product, menus: readonly Menu[], foretell: Foretell) {
    this.#product = product;
    this.#menus = menus;
    this.#foretell = foretell;
  }

  at(rows: number): Choice | undefined {
    // Most products of a model have one height only, and a table of them would be of no use.
    if (!this.#table && rows === this.#product.rows) return this.#choices[this.#fastestAt(rows)];
    this.#table ??= new BreakPoints(magnitudeOf(rows), (height) => this.#fastestAt(height));
    return this.#choices[this.#table.at(rows)];
  }

  /** A choice's number; -1 where nothing is known. */
  #fastestAt(rows: number): number {
    const product = { ...this.#product, rows };
    let [best, bestUs]: [Choice | undefined, number] = [undefined, Number.POSITIVE_INFINITY];
    for (const { provider, waysAt } of this.#menus)
      waysAt(rows).forEach((way, index) => {
        const us = this.#foretell(product, provider, way);
        if (us !== undefined && us < bestUs) [best, bestUs] = [{ provider, index }, us];
      });
    return best ? this.#numberOf(best) : -1;
  }

  #numberOf({ provider, index }: Choice): number {
    const known = this.#choices.findIndex((one) => one.provider === provider && one.index === index);
    return known < 0 ? this.#choices.push({ provider, index }) - 1 : known;
  }
}

/** Equal for regions that differ in nothing but rows of one magnitude: to them the same is offered. */
function kindOf(region: Region, { dtype, rows, columns, terms }: Product): string {
  let kind = `${magnitudeOf(rows)} ${dtype} ${columns} ${terms}`;
  for (const { op, params } of workOf(region)) kind += `;${op} ${JSON.stringify(params)}`;
  for (const operand of region.inputs) kind += lies(operand, rows);
  for (const operand of region.outputs) kind += lies(operand, rows);
  return kind;
}

/** How an operand lies, rows aside. */
function lies({ kind, dtype, shape, strides, fixed }: Operand, rows: number): string {
  const last = shape.length - 1;
  const down = sizeOf(shape) / (shape[last] ?? 1);
  const where = isContiguous(shape, strides) ? "" : `${shape.slice(0, -2).join()}:${strides.map((stride, d) => (shape[d] === 1 ? 0 : stride)).join()}`; // prettier-ignore
  return `;${kind} ${dtype} ${fixed} ${shape.length} ${down === rows ? "rows" : down} ${shape[last]} ${where}`;
}
