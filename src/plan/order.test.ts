// Orders of steps: needs before uses, readers before overwriters, less memory where it pays.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { orderSteps, peakBytes, type Orderable } from "./order.js";

const step = (position: number, reads: string[], writes: string[], more: Partial<Orderable> = {}): Orderable => ({
  position,
  reads,
  writes,
  overwrites: [],
  origins: [],
  buffers: { reads, writes },
  ...more,
});

test("steps stand in the graph's order where memory does not argue against it", () => {
  const steps = [step(2, ["b"], ["c"]), step(0, [], ["a"]), step(1, ["a"], ["b"])];
  assert.deepEqual(
    orderSteps(steps, () => 64),
    [1, 2, 0],
  );
});

test("an old version of a state is read before it is overwritten", () => {
  const write = step(0, ["s0"], ["s1"], { overwrites: [7], origins: [7] });
  const reader = step(1, ["s0"], ["r"], { origins: [7] });
  const later = step(2, ["s1"], ["t"], { origins: [8] });
  assert.deepEqual(
    orderSteps([write, reader, later], () => 0),
    [1, 0, 2],
  );
});

test("branches are finished one after the other when that halves the memory", () => {
  // Four wide values, each reduced to a small one; the graph lists all wide ones first.
  const wide = [0, 1, 2, 3].map((i) => step(i, ["x"], [`wide${i}`]));
  const small = [0, 1, 2, 3].map((i) => step(4 + i, [`wide${i}`], [`small${i}`]));
  const sum = step(8, ["small0", "small1", "small2", "small3"], ["y"]);
  const steps = [...wide, ...small, sum];
  const bytes = (key: string): number => (key.startsWith("wide") ? 1000 : 10);
  const order = orderSteps(steps, bytes);
  assert.ok(peakBytes(steps, order, bytes) < 1100);
  assert.ok(
    peakBytes(
      steps,
      steps.map((_, i) => i),
      bytes,
    ) > 4000,
  );
});

test("steps that wait for each other are an internal error", () => {
  assert.throws(() => orderSteps([step(0, ["b"], ["a"]), step(1, ["a"], ["b"])], () => 0), /circle/);
});

test("every order of a random graph respects what is read, written and overwritten", () => {
  const graphs = fc.array(fc.record({ reads: fc.array(fc.nat(20), { maxLength: 3 }), bytes: fc.nat(1000) }), {
    maxLength: 16,
  });
  fc.assert(
    fc.property(graphs, (nodes) => {
      const steps = nodes.map(({ reads }, i) => {
        const values = i === 0 ? [] : [...new Set(reads.map((r) => r % i))];
        return step(
          nodes.length - i,
          values.map((v) => `v${v}`),
          [`v${i}`],
          { origins: values },
        );
      });
      const order = orderSteps(steps, (key) => nodes[Number(key.slice(1))]!.bytes);
      const at = new Map(order.map((index, position) => [index, position]));
      assert.equal(at.size, steps.length);
      steps.forEach(({ reads }, i) => {
        for (const read of reads) assert.ok(at.get(Number(read.slice(1)))! < at.get(i)!);
      });
    }),
    { seed: 5, numRuns: 200 },
  );
});
