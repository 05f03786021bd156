// The functions of the language at points whose values are known.
import assert from "node:assert/strict";
import { test } from "node:test";
import { UNARY } from "./program.js";
import { caster, erf, unary } from "./scalar.js";

test("erf agrees with tabulated values on both of its branches", () => {
  const table = [[0, 0], [0.5, 0.5204998778130465], [1, 0.8427007929497149], [2, 0.9953222650189527], [2.5, 0.999593047982555],
    [3, 0.9999779095030014], [4, 0.9999999845827421], [7, 1]] as const; // prettier-ignore
  for (const [x, y] of table) {
    assert.ok(Math.abs(erf(x) - y) < 4e-15, `erf(${x}) = ${erf(x)}`);
    assert.equal(erf(-x) + erf(x), 0);
  }
  const slope = (2 / Math.sqrt(Math.PI)) * Math.exp(-6.25);
  assert.ok(Math.abs(erf(2.5) - erf(2.5 - 1e-9) - 1e-9 * slope) < 1e-15, "the branches meet");
});

test("every unary function of the list computes", () => {
  const at: Readonly<Record<string, number>> = {
    neg: -0.25, abs: 0.25, square: 0.0625, sqrt: 0.5, rsqrt: 2, recip: 4, exp: 1.2840254166877414, exp2: 1.189207115002721,
    log: -1.3862943611198906, log2: -2, tanh: 0.24491866240370913, sigmoid: 0.5621765008857981, erf: 0.27632639016823696,
    sin: 0.24740395925452294, cos: 0.9689124217106447, floor: 0, round: 0, not: 0.75,
  }; // prettier-ignore
  for (const fn of UNARY) {
    const got = unary(fn, fn === "not" ? "bool" : "f32")(0.25);
    assert.ok(Math.abs(got - at[fn]!) < 1e-15, `${fn}(0.25) = ${got}`);
  }
});

test("round goes to even, sigmoid stays finite, casts saturate", () => {
  const round = unary("round", "f32");
  assert.deepEqual([-2.5, -1.5, 0.5, 1.5, 2.4].map(round), [-2, -2, 0, 2, 2]);
  assert.deepEqual([-1000, 1000].map(unary("sigmoid", "f32")), [0, 1]);
  assert.deepEqual(
    [caster("i8")(-300), caster("u8")(-3), caster("i32")(-2.9), caster("f8e4m3")(1000)],
    [-128, 0, -2, 448],
  );
});
