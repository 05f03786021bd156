// The choice of regions as a bare problem over values and options, free of graphs: what cover.ts solves exactly and
// what its brute-force oracle solves again in the tests.
import type { ValueId } from "../graph/node.js";

/** Dims from outermost to innermost, joined by commas; "" is the default layout. */
export type LayoutKey = string;

export interface LaidOut {
  readonly value: ValueId;
  readonly layout: LayoutKey;
}

export interface PackUse {
  /** Equal keys share one pack. */
  readonly key: string;
  readonly bytes: number;
}

/** One region computed in one way. */
export interface CoverOption {
  /** Options of the same region differ in candidate only; cuts against cycles name regions. */
  readonly region: number;
  /** Every value that exists inside, the inner ones included; no two chosen options make the same value. */
  readonly makes: readonly ValueId[];
  readonly reads: readonly LaidOut[];
  /** The made values that others may read, in the layout they are left in. */
  readonly writes: readonly LaidOut[];
  /** Values it destroys: old versions of states. Their other readers come before it. */
  readonly overwrites: readonly ValueId[];
  readonly us: number;
  readonly packs: readonly PackUse[];
}

export interface CoverProblem {
  readonly options: readonly CoverOption[];
  /** Must exist in the default layout at the end. */
  readonly wanted: readonly ValueId[];
  /** Exist from the start, in the default layout. */
  readonly given: ReadonlySet<ValueId>;
  /** Microseconds of bringing a value into another layout; undefined where nobody can. */
  readonly convertUs: (value: ValueId, from: LayoutKey, to: LayoutKey) => number | undefined;
  readonly packLimitBytes: number;
}

export interface Conversion {
  readonly value: ValueId;
  readonly from: LayoutKey;
  readonly to: LayoutKey;
}

export interface Cover {
  /** Indices into the problem's options, ascending. */
  readonly chosen: readonly number[];
  readonly conversions: readonly Conversion[];
  readonly us: number;
}

/** Value → the options that make it. */
export function makersOf(options: readonly CoverOption[]): ReadonlyMap<ValueId, readonly number[]> {
  const makers = new Map<ValueId, number[]>();
  options.forEach((option, index) => {
    for (const value of option.makes) makers.set(value, [...(makers.get(value) ?? []), index]);
  });
  return makers;
}

/**
 * Values that every solution makes: the wanted ones, and whatever all makers of such a value read or make.
 * They turn "at most once" into "exactly once", which keeps the relaxation tight.
 */
export function certainValues(problem: CoverProblem): ReadonlySet<ValueId> {
  const makers = makersOf(problem.options);
  const certain = new Set<ValueId>();
  const queue = problem.wanted.filter((value) => !problem.given.has(value));
  for (let value = queue.pop(); value !== undefined; value = queue.pop()) {
    if (certain.has(value)) continue;
    certain.add(value);
    const counts = new Map<ValueId, number>();
    const options = makers.get(value) ?? [];
    for (const index of options) {
      const { makes, reads } = problem.options[index]!;
      for (const met of new Set([...makes, ...reads.map((read) => read.value)]))
        counts.set(met, (counts.get(met) ?? 0) + 1);
    }
    for (const [met, count] of counts)
      if (count === options.length && !certain.has(met) && !problem.given.has(met)) queue.push(met);
  }
  return certain;
}

/**
 * Cycles among chosen regions, as lists of option indices: a region needs a value of another that, over others,
 * needs one of its own. Readers of an overwritten value count as before the overwriter. For every node of a strongly
 * connected part its shortest cycle, each set of options once.
 */
export function cyclesOf(options: readonly CoverOption[], chosen: readonly number[]): readonly (readonly number[])[] {
  const writer = new Map<ValueId, number>();
  const overwriter = new Map<ValueId, number>();
  for (const index of chosen) {
    for (const { value } of options[index]!.writes) writer.set(value, index);
    for (const value of options[index]!.overwrites) overwriter.set(value, index);
  }
  const before = new Map<number, Set<number>>(chosen.map((index) => [index, new Set<number>()]));
  for (const index of chosen)
    for (const { value } of options[index]!.reads) {
      const from = writer.get(value);
      if (from !== undefined && from !== index) before.get(index)!.add(from);
      const to = overwriter.get(value);
      if (to !== undefined && to !== index) before.get(to)!.add(index);
    }
  // Peel off what can run first and what can run last; cycles remain.
  const left = new Set(chosen);
  for (let changed = true; changed;) {
    changed = false;
    for (const index of left) {
      const isFirst = [...before.get(index)!].every((b) => !left.has(b));
      const isLast = isFirst || [...left].every((other) => !before.get(other)!.has(index));
      if (isFirst || isLast) {
        left.delete(index);
        changed = true;
      }
    }
  }
  const found = new Map<string, readonly number[]>();
  for (const start of left) {
    const cycle = shortestCycle(start, before, left);
    if (cycle) found.set(cycle.toSorted((a, b) => a - b).join(), cycle);
  }
  return [...found.values()];
}

function shortestCycle(
  start: number,
  before: ReadonlyMap<number, ReadonlySet<number>>,
  inside: ReadonlySet<number>,
): readonly number[] | undefined {
  const via = new Map<number, number>();
  let frontier = [start];
  while (frontier.length > 0) {
    const next: number[] = [];
    for (const at of frontier)
      for (const previous of before.get(at)!) {
        if (!inside.has(previous)) continue;
        if (previous === start) {
          const cycle = [at];
          while (cycle.at(-1) !== start) cycle.push(via.get(cycle.at(-1)!)!);
          return cycle;
        }
        if (via.has(previous)) continue;
        via.set(previous, at);
        next.push(previous);
      }
    frontier = next;
  }
  return undefined;
}
