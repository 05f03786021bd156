// Which regions are worth more than their providers' default candidates.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Value } from "../graph/node.js";
import { Regions } from "../graph/region.js";
import { Words } from "../graph/words.js";
import { propose } from "../plan/propose.js";
import { workOf } from "../tuner/worker/expectation.js";
import { byImportance, effortsOf, type Ranked } from "./importance.js";

/** Two large convolutions with a norm between them, and behind them a small product. */
function ranked(): readonly Ranked[] {
  const g = new Words("picture and text");
  const [C, S] = [512, 64];
  const conv = (name: string, x: Value) => g.conv2d(x, g.weight(name, "f32", [C, C, 3, 3]), undefined, { padding: 1 });
  const first = conv("a", g.input("x", "f32", [1, C, S, S]));
  const normed = g.groupNorm(first, g.weight("w", "f32", [C]), g.weight("b", "f32", [C]), 8, 1e-5);
  const text = g.linear(g.input("text", "f32", [4, 16]), g.weight("c", "f32", [16, 16]));
  const graph = g.finish({ y: conv("d", normed), z: text });
  const proposals = propose(new Regions(graph), []);
  return byImportance([{ component: { name: "c", graph, weights: undefined as never, runs: 1 }, proposals }]);
}

test("what matters little is tried by default candidates alone, but not where layouts may be chosen", () => {
  const all = ranked();
  const of = (op: string): Ranked => all.find(({ region }) => workOf(region).map((node) => node.op).join() === op)!; // prettier-ignore
  assert.deepEqual([of("conv2d").matters, of("group_norm").matters, of("linear").matters], [true, false, false]);
  const effort = (op: string, asked: "none" | "quick" | "full"): string => effortsOf(all, asked)(of(op).region);
  assert.deepEqual(["conv2d", "group_norm", "linear"].map((op) => effort(op, "quick")), ["quick", "quick", "none"]); // prettier-ignore
  assert.deepEqual(["conv2d", "group_norm", "linear"].map((op) => effort(op, "none")), ["none", "none", "none"]); // prettier-ignore
  assert.equal(effort("linear", "full"), "full");
});
