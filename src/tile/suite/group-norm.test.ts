// Group norm in two passes against its definition; far-off means must not cost digits.
import { test } from "node:test";
import { groupNorm } from "./group-norm.js";
import { check, fill, get, random, zeros } from "./harness.js";
import { f32, sigmoid, sum } from "./reference.js";

const [B, S, G, C] = [2, 11, 3, 4];

for (const [name, silu, offset, d] of [
  ["f32", false, 0, "f32"],
  ["f32 with SiLU", true, 0, "f32"],
  ["f32 far from zero", false, 300, "f32"],
  ["bf16", true, 0, "bf16"],
] as const)
  // prettier-ignore
  test(`group norm, ${name}, agrees`, () => {
    const noise = random(d, [B, S, G, C], 1);
    const x = fill([B, S, G, C], (...at) => f32(get(noise, ...at) + offset));
    const [w, b] = [random(d, [G, C], 2), random(d, [G, C], 3)];
    const all = (f: (s: number, c: number) => number): number => sum(S, (s) => sum(C, (c) => f(s, c))) / (S * C);
    const mean = fill([B, G], (n, g) => all((s, c) => get(x, n, s, g, c)));
    const scale = fill([B, G], (n, g) => 1 / Math.sqrt(all((s, c) => (get(x, n, s, g, c) - get(mean, n, g)) ** 2) + 1e-6));
    const out = (n: number, s: number, g: number, c: number): number =>
      (get(x, n, s, g, c) - get(mean, n, g)) * get(scale, n, g) * get(w, g, c) + get(b, g, c);
    check({
      kernel: groupNorm(d, { silu }), tensors: { x, w, b, y: zeros(B, S, G, C) }, blocks: [{ S: 4 }, { S: 1 }, { S: 7 }],
      expected: { y: fill([B, S, G, C], (n, s, g, c) => { const v = out(n, s, g, c); return silu ? v * sigmoid(v) : v; }) },
      tolerance: d === "bf16" ? 1e-2 : offset === 0 ? 1e-6 : 1e-4,
    }); // prettier-ignore
  });
