// A graph interpreted gives what its formula gives, in float64 and rounded, with states and alternatives.
import assert from "node:assert/strict";
import test from "node:test";
import { roundTo } from "../core/dtype.js";
import { sizeOf, type Shape } from "../core/shape.js";
import { TroupeError } from "../core/error.js";
import { interpretGraph } from "./interpret.js";
import type { RefTensor } from "./op.js";
import { linear } from "./op/contraction.js";
import { scale } from "./op/elementwise.js";
import { Words } from "./words.js";

const tensor = (shape: Shape, data: (i: number) => number): RefTensor => ({
  dtype: "f64",
  shape,
  data: Float64Array.from({ length: sizeOf(shape) }, (_, i) => data(i)),
});

test("a layer of two joined weights, a bias and a gelu agrees with the formula", () => {
  const g = new Words("layer");
  const x = g.input("x", "f32", [2, 3]);
  const w = g.weight(["w0", "w1"], "f32", [4, 3]);
  const y = g.quickGelu(g.linear(x, w, g.constant([1, 2, 3, 4], "f32", [4])));
  const { outputs, kept } = interpretGraph(
    g.finish({ y }),
    {
      inputs: new Map([["x", tensor([2, 3], (i) => i - 2)]]),
      weights: new Map([
        ["w0", tensor([1, 3], (i) => i)],
        ["w1", tensor([3, 3], (i) => 2 * i - 5)],
      ]),
    },
    { keep: (value) => value.name === "linear" },
  );
  const sums = [-1 * 1, -2 * -5 - 1 * -3, -2 * 1 - 1 * 3, -2 * 7 - 1 * 9].map((sum, n) => sum + n + 1);
  assert.deepEqual([...kept.values()][0]!.data.slice(0, 4), Float64Array.from(sums));
  sums.forEach((sum, n) =>
    assert.ok(Math.abs(outputs.get("y")!.data[n]! - sum / (1 + Math.exp(-1.702 * sum))) < 1e-12),
  );
});

test("rounding stores each produced value in its dtype; sources are rounded in any case", () => {
  const g = new Words("rounding");
  const x = g.input("x", "bf16", [1]);
  const third = g.mul(x, 1 / 3);
  const graph = g.finish({ y: g.mul(third, 3), third });
  const inputs = new Map([["x", tensor([1], () => 1.001)]]);
  const plain = interpretGraph(graph, { inputs }).outputs;
  const rounded = interpretGraph(graph, { inputs }, { round: true }).outputs;
  assert.equal(plain.get("third")!.data[0], roundTo("bf16", 1.001) * (1 / 3));
  assert.equal(rounded.get("third")!.data[0], roundTo("bf16", roundTo("bf16", 1.001) * (1 / 3)));
});

test("a value read early and late is there both times, and what no output needs is not run", () => {
  const g = new Words("diamond");
  const x = g.input("x", "f32", [2]);
  const early = g.mul(x, 2);
  const late = g.add(g.mul(g.add(g.mul(early, 3), early), 5), early);
  g.linear(x, g.weight("absent", "f32", [1, 2]));
  const { outputs } = interpretGraph(g.finish({ late }), { inputs: new Map([["x", tensor([2], (i) => i + 1)]]) });
  assert.deepEqual(Array.from(outputs.get("late")!.data), [42, 84]);
});

test("the first producer is run unless another is chosen", () => {
  const g = new Words("alternatives");
  const x = g.input("x", "f32", [1, 2]);
  const y = g.linear(x, g.constant([2, 0, 0, 2], "f32", [2, 2]));
  g.apply(scale, { by: 3 }, [x], [y]);
  const graph = g.finish({ y });
  const inputs = new Map([["x", tensor([1, 2], (i) => i + 1)]]);
  assert.deepEqual([...interpretGraph(graph, { inputs }).outputs.get("y")!.data], [2, 4]);
  const choose = (_: unknown, producers: readonly (typeof graph.nodes)[number][]) => producers.at(-1)!;
  assert.deepEqual([...interpretGraph(graph, { inputs }, { choose }).outputs.get("y")!.data], [3, 6]);
});

test("alternatives chosen into a circle are refused", () => {
  const g = new Words("circle");
  const x = g.input("x", "f32", [1, 2]);
  const y = g.mul(x, 2);
  const z = g.mul(y, 2);
  g.apply(scale, { by: 0.5 }, [z], [y]);
  const choose = (_: unknown, producers: readonly (typeof graph.nodes)[number][]) => producers.at(-1)!;
  const graph = g.finish({ z });
  assert.throws(
    () => interpretGraph(graph, { inputs: new Map([["x", tensor([1, 2], () => 1)]]) }, { choose }),
    /cycle/,
  );
});

test("a missing or misshapen binding is named", () => {
  const g = new Words("bindings");
  const y = g.apply(linear, {}, [g.input("x", "f32", [1, 2]), g.weight("w", "f32", [2, 2])])[0]!;
  const graph = g.finish({ y });
  const refused = (x: RefTensor, weights: Map<string, RefTensor>, why: RegExp) =>
    assert.throws(
      () => interpretGraph(graph, { inputs: new Map([["x", x]]), weights }),
      (error) => error instanceof TroupeError && why.test(error.message),
    );
  refused(
    tensor([1, 2], () => 1),
    new Map(),
    /weight w of bindings is not given/,
  );
  refused(
    tensor([2, 1], () => 1),
    new Map([["w", tensor([2, 2], () => 1)]]),
    /input x of bindings is \[1, 2\], not/,
  );
  refused(
    tensor([1, 2], () => 1),
    new Map([["w", tensor([3, 2], () => 1)]]),
    /w have 6 elements/,
  );
});

test("two sequences of different length share a paged cache and attend to their own tokens only", () => {
  const [B, P, S, G, D, T] = [2, 5, 2, 1, 2, 1];
  const g = new Words("decode");
  const q = g.input("q", "f32", [B, T, 2, D]);
  const k = g.input("k", "f32", [B, T, G, D]);
  const v = g.input("v", "f32", [B, T, G, D]);
  const pages = g.input("pages", "i32", [B, 3]);
  const before = g.input("before", "i32", [B]);
  const after = g.input("after", "i32", [B]);
  const caches = ["keys", "values"].map((name) => g.state(name, "f32", [P, S, G, D]));
  const keys = g.pageAppend(caches[0]!, k, pages, before);
  const values = g.pageAppend(caches[1]!, v, pages, before);
  g.becomes(caches[0]!, keys);
  g.becomes(caches[1]!, values);
  const graph = g.finish({ o: g.pagedAttention(q, keys, values, pages, after, { causal: true, scale: 0.5 }) });
  const lengths = [3, 0];
  const table = [4, 1, -1, 0, -1, -1];
  // Sequence 0 has tokens 0, 1 in page 4 and 2 in page 1; its new one goes to slot 1 of page 1. Sequence 1 starts in page 0.
  const old = (seed: number) => tensor([P, S, G, D], (i) => Math.sin(i * seed));
  const states = new Map([["keys", old(1.3)], ["values", old(0.7)]]); // prettier-ignore
  const inputs = new Map([
    ["q", tensor([B, T, 2, D], (i) => Math.cos(i))],
    ["k", tensor([B, T, G, D], (i) => 10 + i)],
    ["v", tensor([B, T, G, D], (i) => 20 + i)],
    ["pages", tensor([B, 3], (i) => table[i]!)],
    ["before", tensor([B], (i) => lengths[i]!)],
    ["after", tensor([B], (i) => lengths[i]! + 1)],
  ]);
  const result = interpretGraph(graph, { inputs, states });
  const newKeys = result.states.get("keys")!.data;
  const slot = (page: number, n: number) => (page * S + n) * G * D;
  assert.deepEqual(Array.from(newKeys.slice(slot(1, 1), slot(1, 1) + 2)), [10, 11]);
  assert.deepEqual(Array.from(newKeys.slice(slot(0, 0), slot(0, 0) + 2)), [12, 13]);
  const changed = [...newKeys.keys()].filter((i) => newKeys[i] !== roundTo("f32", states.get("keys")!.data[i]!));
  assert.deepEqual(changed, [0, 1, 6, 7]);
  // The second sequence sees its own token alone, so it gets its value.
  const o = result.outputs.get("o")!.data;
  assert.deepEqual(Array.from(o.slice(4)), [22, 23, 22, 23]);
  const slots = [slot(4, 0), slot(4, 1), slot(1, 0), slot(1, 1)];
  const newValues = result.states.get("values")!.data;
  for (const h of [0, 1]) {
    const query = [0, 1].map((d) => roundTo("f32", Math.cos(h * 2 + d)));
    const weights = slots.map((at) => Math.exp(0.5 * (query[0]! * newKeys[at]! + query[1]! * newKeys[at + 1]!)));
    const sum = weights.reduce((a, b) => a + b);
    for (const d of [0, 1]) {
      const wanted = weights.reduce((total, weight, i) => total + (weight / sum) * newValues[slots[i]! + d]!, 0);
      assert.ok(Math.abs(o[h * 2 + d]! - wanted) < 1e-12);
    }
  }
});
