import assert from "node:assert/strict";
import { test } from "node:test";
import { fnv1a, formulaStore, formulaValues, unitAt } from "./formula.js";
import { readNumbers } from "./store.js";

test("the formula gives the published self-test values", () => {
  assert.equal(fnv1a("a"), 3826002220);
  assert.equal(fnv1a("lm_head.weight"), 2925180653);
  const hash = fnv1a("lm_head.weight");
  assert.deepEqual(
    [0, 1, 2, 3].map((i) => unitAt(hash, i)),
    [0.619334320537746, 0.8895353800617158, -0.9684922061860561, 0.7577756126411259],
  );
});

test("scale and offset follow rank and name", () => {
  const around = (name: string, shape: readonly number[]): [number, number] => {
    const values = formulaValues(name, shape);
    return [Math.min(...values), Math.max(...values)];
  };
  const [low, high] = around("norm.weight", [500]);
  assert.ok(low > 0.8 - 1e-6 && low < 0.82 && high < 1.2 + 1e-6 && high > 1.18);
  const [biasLow, biasHigh] = around("norm.bias", [500]);
  assert.ok(biasLow >= -0.1 - 1e-6 && biasHigh <= 0.1 + 1e-6 && biasHigh > 0.09);
  const [, matrixHigh] = around("conv.weight", [20, 3, 3, 3]);
  assert.ok(matrixHigh <= 1 / 3 && matrixHigh > 0.32);
  const [, inputHigh] = around("in.latents", [10, 50]);
  assert.ok(inputHigh <= Math.sqrt(3) + 1e-6 && inputHigh > 1.7);
});

test("the store computes what is asked for, rounded to its dtype", async () => {
  const store = formulaStore({ "a.bias": [3] }, "bf16");
  assert.deepEqual(store.get("a.bias"), { dtype: "bf16", shape: [3], bytes: 6 });
  const exact = formulaValues("a.bias", [3]);
  (await readNumbers(store, "a.bias")).forEach((value, i) =>
    assert.ok(Math.abs(value - exact[i]!) <= Math.abs(exact[i]!) / 256),
  );
});
