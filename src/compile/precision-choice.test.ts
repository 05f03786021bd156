// The knapsack: what is taken, and how measurements move its bound.
import assert from "node:assert/strict";
import test from "node:test";
import { addedTo, bestWithin, takeWithin, type Offer } from "./precision-choice.js";

const offer = (site: string, boughtUs: number, error: number, precision: Offer["precision"] = "i8"): Offer => ({
  component: "c",
  site,
  precision,
  boughtUs,
  error,
});
const sites = (offers: readonly Offer[] | undefined): string =>
  (offers ?? []).map(({ site, precision }) => `${site}${precision === "i8" ? "" : " bf16"}`).toSorted().join(); // prettier-ignore

test("errors add in squares, and what buys most for its error is taken first", () => {
  const offers = [offer("a", 100, 0.03), offer("b", 90, 0.01), offer("c", 80, 0.04), offer("d", -5, 0)];
  assert.equal(sites(takeWithin(offers, 0.04)), "a,b");
  assert.equal(sites(takeWithin(offers, 0.06)), "a,b,c");
  assert.equal(sites(takeWithin(offers, 0.005)), "");
});

test("a site is lowered once: in 8 bits, or in bf16 where those do not fit", () => {
  const offers = [offer("a", 100, 0.05), offer("a", 40, 0.004, "bf16")];
  assert.equal(sites(takeWithin(offers, 0.1)), "a");
  assert.equal(sites(takeWithin(offers, 0.01)), "a bf16");
});

const many = Array.from({ length: 60 }, (_, i) => offer(`s${String(i).padStart(2, "0")}`, 100 - i, 0.01));

for (const [what, factor] of [
  ["smaller", 0.5],
  ["larger", 2],
] as const)
  test(`errors that are ${what} than forecast are found out, and the best measured set within the bound is kept`, async () => {
    const measured: number[] = [];
    const best = await bestWithin(many, 0.03, async (taken) => {
      const error = factor * Math.hypot(...taken.map((one) => one.error));
      measured.push(error);
      return error;
    });
    assert.ok(best && best.error <= 0.03 && best.error >= 0.8 * 0.03, `${best?.error}`);
    assert.ok(measured.length <= 6);
  });

test("what there is without any offer leaves less room, and its square is no offer's", async () => {
  const measure = async (taken: readonly Offer[]): Promise<number> => Math.hypot(0.024, ...taken.map((one) => one.error)); // prettier-ignore
  const best = await bestWithin(many, 0.04, measure, 0.024);
  assert.ok(best && best.error <= 0.04, `${best?.error}`);
  assert.equal(best.offers.length, 10); // √(0.024² + 10 · 0.01²) = 0.0397
  assert.equal(await bestWithin(many, 0.02, measure, 0.024), undefined);
  assert.ok(Math.abs(addedTo(0.03, 0.05) - 0.04) < 1e-12);
  assert.equal(addedTo(0.03, 0.02), 0);
});

test("where nothing stays within the bound there is no set", async () => {
  assert.equal(await bestWithin(many, 0.03, async () => 1), undefined);
  assert.equal(await bestWithin([], 0.03, async () => 0), undefined);
});
