// Foretelling a ladder's rounds: what they take, in which order rungs come, how a budget is dealt out.
import assert from "node:assert/strict";
import test from "node:test";
import { inOrder, Rounds } from "./rounds.js";
import type { RungPlans } from "./rungs.js";

const compiled = {} as NonNullable<RungPlans["compiled"]>;
const rung = (label: string, ratio?: number): RungPlans =>
  ({ label, isRival: true, notes: [], compiled, ...(ratio !== undefined && { ratio }) }); // prettier-ignore

test("rungs that are likely to be fast come first; those that are not run do not come at all", () => {
  const { compiled: _, ...notRun } = rung("plain");
  const all = [rung("slow", 9), { ...notRun, notRun: "no plan" }, rung("unknown"), rung("fast", 1.1)];
  assert.deepEqual(inOrder(all).map(({ label }) => label), ["fast", "unknown", "slow"]); // prettier-ignore
});

test("what rungs take follows from one picture, their ratios and what loading took", () => {
  const rounds = new Rounds(4, 1000);
  rounds.note(500);
  assert.equal(rounds.seconds([rung("a", 2)]), 0.5 + (4 + 1) * 3);
  rounds.note(1500);
  assert.equal(rounds.seconds([rung("a", 2), rung("b", 1)]), 2 * 1 + 5 * 3 + 5 * 2);
});

test("a budget is dealt out by what rungs take, and one that holds no pair is too short", () => {
  const rounds = new Rounds(4, 1000);
  rounds.note(0);
  const now = performance.now();
  const end = rounds.endOf([rung("a", 2), rung("b", 1)], now + 10_000);
  assert.ok(Math.abs(end - now - 6_000) < 50, `${end - now}`);
  assert.ok(rounds.fits(rung("a", 2), performance.now() + 6_100));
  assert.ok(!rounds.fits(rung("a", 2), performance.now() + 5_900));
  assert.equal(rounds.endOf([rung("a", 2)], Number.POSITIVE_INFINITY), Number.POSITIVE_INFINITY);
});
