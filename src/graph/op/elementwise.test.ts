// Pointwise ops against known values and their textbook forms.
import assert from "node:assert/strict";
import test from "node:test";
import { run, tensor } from "./by-hand.test.support.js";
import * as elementwise from "./elementwise.js";

const near = (a: number, b: number, name: string) =>
  assert.ok(Math.abs(a - b) < 1e-14 * Math.max(1, Math.abs(b)), `${name}: ${a} is not ${b}`);

test("activations have their published values", () => {
  const known: readonly (readonly [keyof typeof elementwise, number, number])[] = [
    ["silu", 1, 0.7310585786300049],
    ["silu", -3, -0.1422776195327004],
    ["sigmoid", 0, 0.5],
    ["geluErf", 1, 0.8413447460685429],
    ["geluErf", -0.5, -0.15426876936299344],
    ["geluTanh", 1, 0.8411919906082768],
    ["quickGelu", 1, 0.8457957659328212],
    ["relu", -2, 0],
    ["relu", 2, 2],
    ["rsqrt", 16, 0.25],
    ["recip", -8, -0.125],
    ["square", -3, 9],
    ["abs", -3, 3],
    ["neg", -3, 3],
  ];
  for (const [name, x, y] of known)
    near(run(elementwise[name] as typeof elementwise.silu, {}, tensor([1], [x]))[0]!, y, `${name}(${x})`);
});

test("the tanh gelu is ½x(1 + tanh(√(2/π)(x + 0.044715x³))) wherever that does not cancel", () => {
  for (const x of [-2.5, -1, -0.1, 0, 0.3, 1.7, 4, 60])
    near(
      run(elementwise.geluTanh, {}, tensor([1], [x]))[0]!,
      0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
      `gelu_tanh(${x})`,
    );
  const [far] = run(elementwise.geluTanh, {}, tensor([1], [-1e5]));
  assert.ok(far === 0);
});

test("functions are those of the language", () => {
  for (const [op, fn] of [
    [elementwise.exp, Math.exp],
    [elementwise.log, Math.log],
    [elementwise.tanh, Math.tanh],
    [elementwise.sqrt, Math.sqrt],
    [elementwise.sin, Math.sin],
    [elementwise.cos, Math.cos],
  ] as const)
    assert.deepEqual(run(op, {}, tensor([3], [0.5, 1, 7])), [0.5, 1, 7].map(fn));
});

test("shapes broadcast from the right", () => {
  const x = tensor([2, 3], [1, 2, 3, 4, 5, 6]);
  assert.deepEqual(run(elementwise.add, {}, x, tensor([3], [10, 20, 30])), [11, 22, 33, 14, 25, 36]);
  assert.deepEqual(run(elementwise.mul, {}, x, tensor([2, 1], [1, -1])), [1, 2, 3, -4, -5, -6]);
  assert.deepEqual(run(elementwise.sub, {}, tensor([2, 1], [1, 2]), tensor([1, 2], [5, 7])), [-4, -6, -3, -5]);
  assert.deepEqual(run(elementwise.div, {}, x, tensor([1], [2])), [0.5, 1, 1.5, 2, 2.5, 3]);
  assert.deepEqual(run(elementwise.maximum, {}, x, tensor([3], [2, 9, 0])), [2, 9, 3, 4, 9, 6]);
  assert.deepEqual(run(elementwise.minimum, {}, x, tensor([3], [2, 9, 0])), [1, 2, 0, 2, 5, 0]);
});

test("scale, offset and cast keep shape; cast alone changes the dtype", () => {
  const x = tensor([3], [1, 2, 3]);
  assert.deepEqual(run(elementwise.scale, { by: 2.5 }, x), [2.5, 5, 7.5]);
  assert.deepEqual(run(elementwise.offset, { by: -1 }, x), [0, 1, 2]);
  assert.deepEqual(elementwise.cast.infer({ to: "bf16" }, [x]), [{ dtype: "bf16", shape: [3] }]);
  assert.deepEqual(elementwise.scale.infer({ by: 2 }, [x]), [{ dtype: "f32", shape: [3] }]);
});

test("one rounded operation has the tolerance of its store, a function some units more", () => {
  const x = [tensor([4], [1, 2, 3, 4])];
  assert.equal(elementwise.add.tolerance({}, x, "f32"), 1.024 * 2 ** -24);
  assert.equal(elementwise.scale.tolerance({ by: 0.5 }, x, "f32"), 1.024 * 2 ** -24);
  assert.ok(elementwise.scale.tolerance({ by: 0.1 }, x, "f32") > 2 ** -20);
  assert.ok(elementwise.exp.tolerance({}, x, "f32") < 3e-6);
  assert.equal(elementwise.add.tolerance({}, x, "i32"), 0);
});
