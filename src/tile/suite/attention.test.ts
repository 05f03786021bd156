// Attention against a plain reference: scale, causal mask, additive bias, ragged blocks.
import assert from "node:assert/strict";
import { test } from "node:test";
import { print } from "../index.js";
import { attention } from "./attention.js";
import { check, fill, get, random, traced, zeros } from "./harness.js";
import { attend, sum } from "./reference.js";

const [H, Q, L, D] = [2, 7, 9, 4];
const blocks = [
  { Q: 4, L: 2 },
  { Q: 3, L: 4 },
  { Q: 1, L: 5 },
];

for (const d of ["f32", "bf16"] as const)
  for (const causal of [false, true])
    for (const biased of [false, true])
      test(`attention in ${d}${causal ? ", causal" : ""}${biased ? ", with a bias" : ""} agrees`, () => {
        const keys = causal ? Q : L;
        const [q, k, v] = [random(d, [H, Q, D], 1), random(d, [H, keys, D], 2), random(d, [H, keys, D], 3)];
        const bias = random("f32", [H, Q, keys], 4);
        const scale = 0.5;
        const scores = (h: number, i: number): number[] =>
          Array.from({ length: keys }, (_, l) =>
            causal && l > i
              ? -Infinity
              : sum(D, (e) => get(q, h, i, e) * get(k, h, l, e)) * scale + (biased ? get(bias, h, i, l) : 0),
          );
        check({
          kernel: attention(d, { scale, causal, bias: biased }),
          tensors: { q, k, v, o: zeros(H, Q, D), ...(biased && { bias }) },
          blocks,
          expected: { o: fill([H, Q, D], (h, i, e) => attend(scores(h, i), (l) => get(v, h, l, e))) },
          tolerance: d === "f32" ? 1e-6 : 2e-2,
        });
      });

test("attention prints as dot, row work, dot", () => {
  const kinds = print(traced(attention("bf16", { scale: 1 })))
    .split("\n")
    .filter((line) => line.startsWith("    %"))
    .map((line) => line.split(" = ")[1]!.split(" ")[0]);
  assert.deepEqual(kinds, [
    "load", "dot", "mul", "max", "max", "sub", "exp2", "sub", "exp2", "mul", "sum", "add", "cast", "load", "mul", "dot",
  ]); // prettier-ignore
});
