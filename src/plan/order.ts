// The order of a plan's steps: what is read is written before, what is overwritten was read before; among such orders
// the graph's own, unless freeing memory early lowers the peak by a tenth.
import { invariant } from "../core/error.js";
import type { ValueId } from "../graph/node.js";
import type { BufferKey } from "./buffers.js";

/** A step as ordering sees it. `position` says where it would stand in the graph's own order. */
export interface Orderable {
  readonly position: number;
  /** Keys of values in layouts. */
  readonly reads: readonly string[];
  readonly writes: readonly string[];
  /** Origins whose memory a step changes in place, and those that steps read: readers come first. */
  readonly overwrites: readonly ValueId[];
  readonly origins: readonly ValueId[];
  readonly buffers: { readonly reads: readonly BufferKey[]; readonly writes: readonly BufferKey[] };
}

/** Indices of the steps in order. `bytesOf` gives 0 for buffers outside the arena. */
export function orderSteps(steps: readonly Orderable[], bytesOf: (key: BufferKey) => number): readonly number[] {
  const before = predecessors(steps);
  const own = scheduled(steps, before, () => 0);
  const lean = scheduled(steps, before, leanChooser(steps, bytesOf));
  return peakBytes(steps, lean, bytesOf) < 0.9 * peakBytes(steps, own, bytesOf) ? lean : own;
}

function predecessors(steps: readonly Orderable[]): readonly ReadonlySet<number>[] {
  const writer = new Map<string, number>();
  steps.forEach((step, index) => {
    for (const key of step.writes) {
      invariant(!writer.has(key), `two steps write ${key}`);
      writer.set(key, index);
    }
  });
  const before = steps.map((step, index) => {
    const list = step.reads.flatMap((key) => writer.get(key) ?? []);
    return new Set(list.filter((other) => other !== index));
  });
  steps.forEach((step, index) => {
    for (const origin of step.overwrites)
      steps.forEach((other, reader) => {
        if (reader !== index && other.origins.includes(origin)) before[index]!.add(reader);
      });
  });
  return before;
}

/** Runs what is ready, lowest score first, ties in the graph's order. */
function scheduled(
  steps: readonly Orderable[],
  before: readonly ReadonlySet<number>[],
  score: (index: number, done: ReadonlySet<number>) => number,
): readonly number[] {
  const done = new Set<number>();
  const order: number[] = [];
  while (order.length < steps.length) {
    let best: { index: number; score: number } | undefined;
    for (let index = 0; index < steps.length; index++) {
      if (done.has(index) || [...before[index]!].some((other) => !done.has(other))) continue;
      const mine = { index, score: score(index, done) };
      const isBetter =
        !best ||
        mine.score < best.score ||
        (mine.score === best.score && steps[index]!.position < steps[best.index]!.position);
      if (isBetter) best = mine;
    }
    invariant(best, "the steps wait for each other in a circle");
    done.add(best.index);
    order.push(best.index);
  }
  return order;
}

/** Bytes that a step brings to life less those that die with it. */
function leanChooser(steps: readonly Orderable[], bytesOf: (key: BufferKey) => number) {
  const users = new Map<BufferKey, number[]>();
  steps.forEach((step, index) => {
    for (const key of touched(step)) users.set(key, [...(users.get(key) ?? []), index]);
  });
  return (index: number, done: ReadonlySet<number>): number => {
    let change = 0;
    for (const key of touched(steps[index]!)) {
      const others = users.get(key)!.filter((user) => user !== index);
      if (!others.some((user) => done.has(user))) change += bytesOf(key);
      if (others.every((user) => done.has(user))) change -= bytesOf(key);
    }
    return change;
  };
}

const touched = (step: Orderable): ReadonlySet<BufferKey> => new Set([...step.buffers.reads, ...step.buffers.writes]);

/** Most bytes alive at one step. */
export function peakBytes(
  steps: readonly Orderable[],
  order: readonly number[],
  bytesOf: (key: BufferKey) => number,
): number {
  const first = new Map<BufferKey, number>();
  const last = new Map<BufferKey, number>();
  order.forEach((index, at) => {
    for (const key of touched(steps[index]!)) {
      if (!first.has(key)) first.set(key, at);
      last.set(key, at);
    }
  });
  let live = 0;
  let peak = 0;
  order.forEach((index, at) => {
    const keys = [...touched(steps[index]!)];
    live += keys.filter((key) => first.get(key) === at).reduce((sum, key) => sum + bytesOf(key), 0);
    peak = Math.max(peak, live);
    live -= keys.filter((key) => last.get(key) === at).reduce((sum, key) => sum + bytesOf(key), 0);
  });
  return peak;
}
