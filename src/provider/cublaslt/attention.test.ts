// The rows between attention's two products, their blocks run on the processor, against float64.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import test from "node:test";
import { readElement, roundTo } from "../../core/dtype.js";
import { fillNormal } from "../../core/philox.js";
import { emulated } from "../../render/cuda/emulated.fixture.js";
import { softmaxForm, softmaxProgram, type Scores } from "./attention.js";

const CASES: readonly Scores[] = [
  { heads: 2, queries: 3, keys: 100, dtype: "bf16" },
  { heads: 1, queries: 2, keys: 8192, dtype: "bf16" },
  { heads: 2, queries: 3, keys: 40, dtype: "f16", bias: { dtype: "f32", strides: [7 * 40, 40, 1] } },
  { heads: 1, queries: 2, keys: 33, dtype: "f32", bias: { dtype: "bf16", strides: [0, 0, 1] } },
];
const ALLOWED = { bf16: 2 ** -8, f16: 2 ** -11, f32: 2e-6 } as const;

const without = spawnSync("g++", ["--version"]).status === 0 ? false : "there is no C++ compiler";

test("rows of scores become weights that add up to 1, with and without a bias", { skip: without }, () => {
  const kernels = emulated(CASES.map((scores) => softmaxProgram(softmaxForm(scores), 132)));
  CASES.forEach(({ heads, queries, keys, dtype, bias }, i) => {
    const count = heads * queries * keys;
    const scores = new Float32Array(count);
    fillNormal(scores, 3, i);
    // Far from zero and from each other.
    scores.forEach((x, at) => (scores[at] = 30 * x + 200));
    const added = new Float32Array(2048);
    fillNormal(added, 4, i);
    if (bias?.dtype === "bf16") added.forEach((x, at) => (added[at] = roundTo("bf16", x)));
    const half = Uint16Array.from(new Uint32Array(added.buffer), (bits) => bits >>> 16);
    const place = (h: number, q: number, l: number): number => [h, q, l].reduce((sum, c, d) => sum + c * bias!.strides[d]!, 0); // prettier-ignore
    const out = new DataView(new ArrayBuffer(count * 4));
    const memory = [scores, ...(bias ? [bias.dtype === "bf16" ? half : added] : []), out];
    kernels[i]!(memory.map(({ buffer }) => new Uint8Array(buffer)));
    for (let h = 0; h < heads; h++)
      for (let q = 0; q < queries; q++) {
        const row = (h * queries + q) * keys;
        const all = Array.from({ length: keys }, (_, l) => Math.fround(scores[row + l]! + (bias ? added[place(h, q, l)]! : 0)));
        const most = Math.max(...all);
        const total = all.reduce((sum, x) => sum + Math.exp(x - most), 0);
        all.forEach((x, l) => {
          const want = Math.exp(x - most) / total;
          const got = readElement(out, dtype, row + l);
          assert.ok(Math.abs(got - want) <= ALLOWED[dtype as "bf16"] * want + 1e-7, `${i}: [${h}, ${q}, ${l}] ${got} for ${want}`);
        });
      }
  });
}); // prettier-ignore
