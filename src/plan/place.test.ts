// Memory of plans: whatever lives at the same time lies apart, and in-place results reuse what dies.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Regions } from "../graph/region.js";
import { Words } from "../graph/words.js";
import { locator } from "./buffers.js";
import { ALIGNMENT_BYTES, packLifetimes, place, type Lifetime } from "./place.js";
import type { RegionStep } from "./plan.js";

const lifetimes = fc.array(
  fc.record({ bytes: fc.integer({ min: 1, max: 5000 }), from: fc.nat(30), length: fc.nat(12) }),
  { maxLength: 40 },
);

test("no two buffers that live at the same step overlap, all are aligned, and the arena holds them", () => {
  fc.assert(
    fc.property(lifetimes, (drawn) => {
      const lives: Lifetime[] = drawn.map(({ bytes, from, length }) => ({ bytes, from, to: from + length }));
      const { offsets, bytes } = packLifetimes(lives);
      for (const [i, a] of lives.entries()) {
        assert.equal(offsets[i]! % ALIGNMENT_BYTES, 0);
        assert.ok(offsets[i]! + a.bytes <= bytes);
        for (const [j, b] of lives.entries()) {
          if (j <= i || a.to < b.from || b.to < a.from) continue;
          assert.ok(offsets[i]! + a.bytes <= offsets[j]! || offsets[j]! + b.bytes <= offsets[i]!);
        }
      }
      const sum = lives.reduce((total, life) => total + Math.ceil(life.bytes / 64) * 64, 0);
      assert.ok(bytes <= sum);
      assert.deepEqual(packLifetimes(lives).offsets, offsets);
    }),
    { seed: 11, numRuns: 300 },
  );
});

test("buffers that follow each other share memory, and the best gap is taken", () => {
  const chain = packLifetimes([0, 1, 2, 3].map((at) => ({ bytes: 1024, from: at, to: at + 1 })));
  assert.equal(chain.bytes, 2048);
  const gaps = packLifetimes([
    { bytes: 1024, from: 0, to: 9 }, { bytes: 640, from: 0, to: 4 }, { bytes: 512, from: 0, to: 9 },
    { bytes: 448, from: 0, to: 4 }, { bytes: 384, from: 0, to: 9 }, { bytes: 320, from: 5, to: 9 },
  ]); // prettier-ignore
  assert.equal(gaps.offsets[5], gaps.offsets[3]);
});

const step = (
  nodes: number[],
  inputs: number[],
  outputs: number[],
  aliases: RegionStep["aliases"] = [],
): RegionStep => ({
  kind: "region",
  nodes,
  choice: { provider: "p", id: "c", params: {} },
  inputs: inputs.map((value) => ({ value })),
  outputs: outputs.map((value) => ({ value })),
  packs: [],
  aliases,
  workspaceBytes: 0,
});

/** a = silu(x); b = a + x2; c = relu(b); out = silu(c), with b allowed to lie where a lay. */
function residual() {
  const g = new Words("residual");
  const x = g.input("x", "f32", [8, 8]);
  const a = g.silu(x);
  const b = g.add(a, x);
  const c = g.relu(b);
  const out = g.silu(c);
  const regions = new Regions(g.finish({ out }));
  return { regions, x, a, b, c, out };
}

test("a result lies in place of the input that dies there", () => {
  const { regions, x, a, b, c, out } = residual();
  const alias = [{ output: 0, input: 0 }];
  const steps = [
    step([0], [x.id], [a.id]),
    step([1], [a.id, x.id], [b.id], alias),
    step([2], [b.id], [c.id]),
    step([3], [c.id], [out.id]),
  ];
  const { placements, arenaBytes } = place(regions, steps);
  const offset = (root: number): number => placements.find((placement) => placement.root === root)!.offsetBytes;
  assert.equal(offset(a.id), offset(b.id));
  assert.notEqual(offset(b.id), offset(c.id));
  assert.equal(arenaBytes, 512);
  assert.deepEqual(placements.map((placement) => placement.root).sort(), [a.id, b.id, c.id]);
});

test("a result never lies in place of an input that is read again or that the caller bound", () => {
  const { regions, x, a, b, c, out } = residual();
  const alias = [{ output: 0, input: 0 }];
  const again = place(regions, [
    step([0], [x.id], [a.id]), step([1], [a.id, x.id], [b.id], alias), step([2], [b.id, a.id], [c.id]), step([3], [c.id], [out.id]),
  ]); // prettier-ignore
  const offset = (root: number): number => again.placements.find((placement) => placement.root === root)!.offsetBytes;
  assert.notEqual(offset(a.id), offset(b.id));
  const bound = place(regions, [step([0], [x.id], [a.id], alias)]);
  assert.deepEqual(
    bound.placements.map((placement) => placement.root),
    [a.id],
  );
});

test("ports are found in the arena, in the caller's buffers and inside joined storage", () => {
  const g = new Words("joined");
  const x = g.input("x", "f32", [2, 4]);
  const a = g.silu(x);
  const b = g.relu(x);
  const joined = g.concat([a, b], 1);
  const out = g.exp(joined);
  const regions = new Regions(g.finish({ out }));
  const steps = [step([0], [x.id], [a.id]), step([1], [x.id], [b.id]), step([3], [joined.id], [out.id])];
  const locate = locator(place(regions, steps), regions);
  assert.deepEqual(locate({ value: x.id }), { in: "root", root: x.id, rootBytes: 32, offsetBytes: 0 });
  assert.deepEqual(locate({ value: out.id }), { in: "root", root: out.id, rootBytes: 64, offsetBytes: 0 });
  assert.deepEqual(locate({ value: a.id }), { in: "arena", offsetBytes: 0 });
  assert.deepEqual(locate({ value: b.id }), { in: "arena", offsetBytes: 16 });
  assert.throws(() => locate({ value: joined.id, layout: [1, 0] }), /no place/);
});
