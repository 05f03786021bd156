// Lowered programs as text, what verification refuses, and where layouts put elements.
import assert from "node:assert/strict";
import test from "node:test";
import { coordinateOf, sizeOf } from "../../core/shape.js";
import { trace } from "../../tile/index.js";
import { attention } from "../../tile/suite/attention.js";
import { add } from "../../tile/suite/basics.js";
import { matmul } from "../../tile/suite/matmul.js";
import { dense, offsetOfPosition, panelLayout } from "../layout.js";
import { printThreads } from "../print.js";
import type { CpuTarget } from "../schedule.js";
import type { ThreadProgram } from "../thread.js";
import { verifyThreads } from "../verify.js";
import { lowerToThreads } from "./lower.js";

const target: CpuTarget = { vectorBytes: 64, bf16dot: true, threads: 2 };

const product = (): ThreadProgram =>
  lowerToThreads(
    trace(matmul("f32")),
    {
      sizes: { M: 28, N: 64, K: 96 },
      layouts: {
        a: dense([28, 96]),
        b: panelLayout([64, 96], { column: 0, step: 1, width: 32, pairs: false }).layout,
        c: dense([28, 64]),
      },
    },
    { blocks: { M: 28, N: 32, K: 48 }, tile: { rows: 14, vectors: 2 } },
    target,
  );

test("a pointwise kernel becomes one loop along the lanes", () => {
  const program = lowerToThreads(
    trace(add),
    { sizes: { N: 100 }, layouts: { a: dense([100]), b: dense([100]), c: dense([100]) } },
    { blocks: { N: 64 } },
    target,
  );
  verifyThreads(program);
  assert.equal(
    printThreads(program),
    `threads add: 2 programs on 2 threads, 0 bytes of scratch each
  a: f32 argument 0
  b: f32 argument 1
  c: f32 argument 2
  let n0: index = min(64, sub(100, mul(program, 64)))
  for i1 from 0 to n0 in lanes
    let v2: f32 = a[add(mul(program, 64), i1)]
    let v3: f32 = b[add(mul(program, 64), i1)]
    let v4: f32 = add(v2, v3)
    c[add(mul(program, 64), i1)] = v4`,
  );
});

test("the loop over K of a product reads rows in place and panels as packed", () => {
  const program = product();
  verifyThreads(program);
  const line = printThreads(program)
    .split("\n")
    .find((text) => text.includes("over 48 steps"));
  assert.match(
    line ?? "",
    /a\[.*; rows by 96, steps by 1\] · b\[.*; panels by 3072, steps by 32\] over 48 steps in 14x2/,
  );
  assert.match(line ?? "", /^ {4}carry\d+\[0; 28 rows by 32, 32 columns\] \+=/);
});

test("attention keeps its accumulator in place and copies its queries once", () => {
  const [H, S, D] = [2, 64, 64];
  const lie = dense([H, S, D]);
  const program = lowerToThreads(
    trace(attention("f32", { scale: 1 })),
    { sizes: { H, Q: S, L: S, D }, layouts: { q: lie, k: lie, v: lie, o: lie } },
    { blocks: { Q: 64, L: 32 } },
    target,
  );
  verifyThreads(program);
  const text = printThreads(program).split("\n");
  const loop = text.findIndex((line) => line.includes("by 32"));
  const copies = text.map((line, i) => (/^ +b\d+\[.* = /.test(line) ? i : -1)).filter((i) => i >= 0);
  assert.ok(copies.length > 0 && copies.every((i) => i < loop), "panels of the queries are made before the loop");
  const products = text.filter((line) => line.includes(" · "));
  assert.equal(products.length, 2);
  assert.match(products[1]!, /carry\d+\[.*\] \+=/);
});

test("verification names what is wrong", () => {
  const program = product();
  const zero = { kind: "const", type: "index", value: 0 } as const;
  const one = { kind: "const", type: "f32", value: 1 } as const;
  const broken = (change: Partial<ThreadProgram>): ThreadProgram => ({ ...program, ...change });
  const store = { kind: "store", buffer: "a", index: zero, value: one, reduce: null } as const;
  assert.throws(() => verifyThreads(broken({ body: [store] })), /a is only read/);
  assert.throws(() => verifyThreads(broken({ body: [{ ...store, buffer: "z" }] })), /no buffer z/);
  const lost = { kind: "var", type: "f32", name: "lost" } as const;
  assert.throws(() => verifyThreads(broken({ body: [{ ...store, buffer: "c", value: lost }] })), /lost is used before/);
  assert.throws(() => verifyThreads(broken({ scratchBytes: 0 })), /beyond the scratch memory/);
});

test("panels give every element a place of its own, ends padded", () => {
  for (const pairs of [false, true])
    for (const shape of [[5, 3, 7], [33, 2, 8]]) {
      const { layout, elements } = panelLayout(shape, { column: 0, step: 2, width: 16, pairs });
      const places = new Set<number>();
      for (let i = 0; i < sizeOf(shape); i++) {
        const place = coordinateOf(i, shape).reduce((sum, c, d) => sum + offsetOfPosition(layout[d]!, c), 0);
        assert.ok(place >= 0 && place < elements);
        places.add(place);
      }
      assert.equal(places.size, sizeOf(shape));
    }
}); // prettier-ignore
