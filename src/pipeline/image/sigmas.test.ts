import assert from "node:assert/strict";
import { test } from "node:test";
import { flowMatchSchema, parseConfig } from "../../model/config.js";
import { flowSigmas, shiftExponent } from "./sigmas.js";

const config = (json: object): ReturnType<typeof parseConfig<typeof flowMatchSchema>> => parseConfig(flowMatchSchema, json, "test"); // prettier-ignore
const schnell = config({ shift: 1 });
const dev = config({ shift: 3, use_dynamic_shifting: true });

/** Published to 8 digits, computed in float32 there. */
function near(actual: readonly number[], expected: readonly number[]): void {
  assert.equal(actual.length, expected.length);
  actual.forEach((x, i) => assert.ok(Math.abs(x - expected[i]!) < 1.5e-7, `level ${i}: ${x}, expected ${expected[i]}`));
}

test("the shift's exponent is linear in the image tokens and not clamped", () => {
  const exponents = [256, 1024, 4080, 4096, 8192].map((tokens) => shiftExponent(dev, tokens));
  near(exponents, [0.5, 0.63, 1.1472917, 1.15, 1.8433333]);
});

test("schnell's levels are a straight line at any size", () => {
  for (const tokens of [1, 256, 4096]) assert.deepEqual(flowSigmas(schnell, 4, tokens), [1, 0.75, 0.5, 0.25, 0]);
  assert.deepEqual(flowSigmas(schnell, 1, 256), [1, 0]);
});

test("dev's levels are shifted by the number of image tokens", () => {
  near(flowSigmas(dev, 4, 4096), [1, 0.90453076, 0.75951093, 0.51284415, 0]);
  near(flowSigmas(dev, 4, 1024), [1, 0.84923482, 0.65248942, 0.38494474, 0]);
  near(flowSigmas(dev, 4, 4080), [1, 0.90429658, 0.75901586, 0.51216745, 0]);
  near(flowSigmas(dev, 28, 4096), [
    1, 0.98840863, 0.97622246, 0.9633944, 0.94987255, 0.93559891, 0.92050898, 0.90453076, 0.88758343, 0.86957592,
    0.85040569, 0.82995641, 0.80809551, 0.7846716, 0.75951093, 0.73241282, 0.70314473, 0.67143482, 0.6369645, 0.59935671,
    0.55816287, 0.51284415, 0.46274841, 0.40707842, 0.34484893, 0.27482799, 0.1954546, 0.1047209, 0,
  ]); // prettier-ignore
});

test("a constant shift, a linear one and a terminal level follow their formulas", () => {
  near(flowSigmas(config({ shift: 3 }), 2, 256), [1, 0.75, 0]);
  const linear = config({ use_dynamic_shifting: true, time_shift_type: "linear" });
  near(flowSigmas(linear, 2, 4096), [1, 1.15 / 2.15, 0]);
  const terminal = flowSigmas(config({ shift_terminal: 0.1 }), 4, 256);
  near(terminal, [1, 0.7, 0.4, 0.1, 0]);
});

test("levels fall strictly and are float32", () => {
  for (const steps of [1, 2, 7, 50]) {
    const sigmas = flowSigmas(dev, steps, 777);
    assert.ok(sigmas.every((sigma, i) => i === 0 || sigma < sigmas[i - 1]!));
    assert.deepEqual(sigmas, sigmas.map(Math.fround));
  }
});

test("a number of steps that makes no sense is refused", () => {
  for (const steps of [0, -1, 2.5, Number.NaN, 1001]) {
    assert.throws(() => flowSigmas(schnell, steps, 256), /whole number from 1 to 1000/);
  }
});
