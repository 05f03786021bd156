// Packed grouped-query attention against the unpacked definition.
import assert from "node:assert/strict";
import { test } from "node:test";
import { allOps, dotRoles, valuesOf } from "../index.js";
import { check, fill, get, random, traced, zeros } from "./harness.js";
import { packedGqa } from "./packed-gqa.js";
import { attend, sum } from "./reference.js";

const [KV, G, Q, L, D] = [2, 3, 5, 7, 4];

for (const causal of [false, true])
  test(`grouped queries${causal ? ", causal," : ""} agree with one key head each`, () => {
    const keys = causal ? Q : L;
    const [q, k, v] = [
      random("f32", [KV, G, Q, D], 1),
      random("f32", [KV, keys, D], 2),
      random("f32", [KV, keys, D], 3),
    ];
    const scores = (h: number, g: number, i: number): number[] =>
      Array.from({ length: keys }, (_, l) =>
        causal && l > i ? -Infinity : sum(D, (e) => get(q, h, g, i, e) * get(k, h, l, e)) * 0.5,
      );
    check({
      kernel: packedGqa("f32", 0.5, causal),
      tensors: { q, k, v, o: zeros(KV, G, Q, D) },
      blocks: [{ Q: 2, L: 3 }, { Q: 4, L: 2 }],
      expected: { o: fill([KV, G, Q, D], (h, g, i, e) => attend(scores(h, g, i), (l) => get(v, h, l, e))) },
    }); // prettier-ignore
  });

test("a dot's M is all the axes that only its first operand has", () => {
  const program = traced(packedGqa("bf16", 1));
  const values = valuesOf(program);
  const roles = [...allOps(program.body)].flatMap((op) =>
    op.kind === "dot" ? [dotRoles(op, values.get(op.a)!, values.get(op.b)!)] : [],
  );
  assert.deepEqual(roles, [
    { batch: [], m: ["G", "Q"], n: ["L"], k: ["D"] },
    { batch: [], m: ["G", "Q"], n: ["D"], k: ["L"] },
  ]);
});
