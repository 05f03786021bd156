// Views by hand, and chains of views: windows composed one on another show what the references show.
import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { contiguous, sizeOf } from "../../core/shape.js";
import type { Params } from "../node.js";
import { referenceOf, type Op, type RefTensor, type Window } from "../op.js";
import { run, tensor, tensorOf } from "./by-hand.test.support.js";
import { gather } from "./dense.js";
import { concat, reshape, slice, transpose } from "./view.js";

const x = tensor([2, 3], [1, 2, 3, 4, 5, 6]);

test("views by hand", () => {
  assert.deepEqual(run(transpose, { order: [1, 0] }, x), [1, 4, 2, 5, 3, 6]);
  assert.deepEqual(run(slice, { axis: 1, start: 1, length: 2 }, x), [2, 3, 5, 6]);
  assert.deepEqual(run(reshape, { shape: [3, 2] }, x), [1, 2, 3, 4, 5, 6]);
  assert.deepEqual(run(concat, { axis: 1 }, x, tensor([2, 1], [7, 8])), [1, 2, 3, 7, 4, 5, 6, 8]);
  assert.deepEqual(run(concat, { axis: 0 }, x, tensor([1, 3], [7, 8, 9])), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
});

test("heads of a joint product are windows of it: split, then read as heads", () => {
  const [T, H, D] = [5, 2, 4];
  const joint = { dtype: "f32" as const, shape: [1, T, 3 * H * D], offset: 0, strides: contiguous([1, T, 3 * H * D]) };
  const part = slice.window!({ axis: 2, start: H * D, length: H * D }, joint, 0)!;
  const keys = reshape.window!({ shape: [1, T, H, D] }, { ...joint, shape: [1, T, H * D], ...part }, 0);
  assert.deepEqual(keys, { offset: H * D, strides: [0, 3 * H * D, D, 1] });
});

test("a reshape across strides has no window", () => {
  const turned = { dtype: "f32" as const, shape: [3, 2], offset: 0, strides: [1, 3] };
  assert.equal(reshape.window!({ shape: [6] }, turned, 0), undefined);
  assert.deepEqual(reshape.window!({ shape: [3, 1, 2] }, turned, 0)!.strides, [1, 0, 3]);
});

/** One view op that fits a shape, drawn from three numbers. */
function viewOf(shape: readonly number[], [kind, a, b]: readonly [number, number, number]): readonly [Op, Params] {
  const axis = a % shape.length;
  if (kind === 0) {
    const order = shape.map((_, d) => (d + axis) % shape.length);
    return [transpose as unknown as Op, { order }];
  }
  if (kind === 1) {
    const start = b % shape[axis]!;
    return [slice as unknown as Op, { axis, start, length: Math.max(1, (shape[axis]! - start) >> (b & 1)) }];
  }
  const total = sizeOf(shape);
  const divisors = Array.from({ length: total }, (_, i) => i + 1).filter((n) => total % n === 0);
  const n = divisors[b % divisors.length]!;
  return [reshape as unknown as Op, { shape: a % 2 ? [n, total / n] : [n, 1, total / n] }];
}

test("any chain of views with windows shows what its references show, and inverses lead back", () => {
  let windows = 0;
  const draw = fc.tuple(fc.nat(2), fc.nat(9), fc.nat(99));
  fc.assert(
    fc.property(fc.array(draw, { minLength: 1, maxLength: 6 }), (chain) => {
      const storage = tensorOf([4, 6, 5], (...at) => at.reduce((sum, c) => sum * 10 + c, 0));
      let current: RefTensor & Window = { ...storage, offset: 0, strides: contiguous(storage.shape) };
      for (const drawn of chain) {
        const [op, params] = viewOf(current.shape, drawn);
        const [whole] = referenceOf(op, params, [current]);
        const window = op.window!(params, current, 0);
        if (!window) return;
        windows++;
        assert.deepEqual(gather(storage.data, window.offset, window.strides, whole!.shape), whole!.data);
        const back = op.inverse?.(params, current, { ...whole!, ...window });
        if (back) assert.deepEqual(gather(storage.data, back.offset, back.strides, current.shape), current.data);
        current = { ...whole!, ...window };
      }
    }),
    { numRuns: 300, seed: 3 },
  );
  assert.ok(windows > 500, `only ${windows} windows were compared`);
});
