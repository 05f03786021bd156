// The cover against a brute-force oracle that knows nothing of integer programs, and what it answers at the edges.
import assert from "node:assert/strict";
import { test } from "node:test";
import { TroupeError } from "../core/error.js";
import type { ValueId } from "../graph/node.js";
import { cover, packBytes } from "./cover.js";
import { cyclesOf, type CoverOption, type CoverProblem, type LayoutKey } from "./cover-problem.js";

/** Numbers in [0, 1) from a seed (the mixing steps of splitmix32). */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x9e3779b9) | 0;
    let z = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return ((z ^ (z >>> 15)) >>> 0) / 2 ** 32;
  };
}

interface SmallNode {
  readonly makes: readonly ValueId[];
  readonly reads: readonly ValueId[];
  readonly overwrites: readonly ValueId[];
}

/** A random graph of at most 12 nodes with alternatives and states, overlapping regions, layouts, costs and packs. */
function randomProblem(seed: number): CoverProblem {
  const random = randomOf(seed);
  const below = (n: number): number => Math.floor(random() * n);
  const chance = (p: number): boolean => random() < p;
  const count = 3 + below(10);
  const given = new Set<ValueId>([0, 1]);
  const states = new Set<ValueId>([1]);
  const known: ValueId[] = [0, 1];
  const nodes: SmallNode[] = [];
  let next = 2;
  while (nodes.length < count) {
    const reads = [
      ...new Set(Array.from({ length: 1 + below(3) }, () => known[Math.max(0, known.length - 1 - below(5))]!)),
    ];
    const state = reads.find((value) => states.has(value));
    if (nodes.length > 1 && chance(0.25)) {
      // another way to make what an earlier node makes, from values older than that
      const rival = nodes[below(nodes.length)]!;
      const older = known.filter((value) => value < Math.min(...rival.makes));
      if (rival.overwrites.length === 0)
        nodes.push({ makes: rival.makes, reads: [older[below(older.length)]!], overwrites: [] });
    } else if (state !== undefined && chance(0.5)) {
      nodes.push({ makes: [next], reads, overwrites: [state] });
      states.delete(state);
      states.add(next);
      known.push(next++);
    } else {
      const makes = chance(0.15) ? [next++, next++] : [next++];
      nodes.push({ makes, reads: reads.filter((value) => known.includes(value)), overwrites: [] });
      known.push(...makes);
    }
  }

  const sets: number[][] = nodes.map((_, i) => [i]);
  for (let tries = 0; tries < 14; tries++) {
    const set = [below(nodes.length)];
    for (let grow = below(4); grow >= 0; grow--) {
      const touching = nodes.flatMap((node, i) =>
        !set.includes(i) &&
        set.some(
          (j) =>
            node.reads.some((v) => nodes[j]!.makes.includes(v)) || nodes[j]!.reads.some((v) => node.makes.includes(v)),
        )
          ? [i]
          : [],
      );
      if (touching.length > 0) set.push(touching[below(touching.length)]!);
    }
    const makes = set.flatMap((i) => nodes[i]!.makes);
    const reads = set.flatMap((i) => nodes[i]!.reads);
    const overwritesInside = set
      .flatMap((i) => nodes[i]!.overwrites)
      .some((value) => makes.includes(value) || reads.filter((r) => r === value).length > 1);
    if (new Set(makes).size === makes.length && !overwritesInside) sets.push(set);
  }
  const read = new Set(nodes.flatMap((node) => node.reads));
  const wanted = known.filter((value) => !given.has(value) && (!read.has(value) || chance(0.1)));
  const layouts: LayoutKey[] = ["", "1,0", "0,2,1"];
  const layoutOf = (value: ValueId, p: number): LayoutKey =>
    !given.has(value) && !states.has(value) && chance(p) ? layouts[below(3)]! : "";
  const options: CoverOption[] = [];
  sets.forEach((set, region) => {
    const makes = set.flatMap((i) => nodes[i]!.makes);
    const outside = nodes.filter((_, i) => !set.includes(i));
    const outputs = makes.filter(
      (value) => wanted.includes(value) || outside.some((node) => node.reads.includes(value)),
    );
    const inputs = [...new Set(set.flatMap((i) => nodes[i]!.reads))].filter((value) => !makes.includes(value));
    const candidates = 1 + below(3);
    for (let c = 0; c < candidates; c++)
      options.push({
        region,
        makes,
        reads: inputs.map((value) => ({ value, layout: layoutOf(value, c === 0 ? 0 : 0.5) })),
        writes: outputs.map((value) => ({ value, layout: layoutOf(value, c === 0 ? 0 : 0.5) })),
        overwrites: set.flatMap((i) => nodes[i]!.overwrites),
        us: chance(0.1) ? 5 : 1 + random() * 10 * Math.sqrt(set.length),
        packs: chance(0.5) ? [{ key: `w${below(6)}`, bytes: 64 * (1 + below(4)) }] : [],
      });
  });
  const convert = new Map<string, number | undefined>();
  for (const value of known)
    for (const from of layouts)
      for (const to of layouts) convert.set(`${value}|${from}|${to}`, chance(0.85) ? random() * 6 : undefined);
  // One pack key has one size.
  const sizes = new Map<string, number>();
  const sized = options.map((option) => ({
    ...option,
    packs: option.packs.map(({ key, bytes }) => {
      if (!sizes.has(key)) sizes.set(key, bytes);
      return { key, bytes: sizes.get(key)! };
    }),
  }));
  return {
    options: sized,
    wanted,
    given,
    convertUs: (value, from, to) => convert.get(`${value}|${from}|${to}`),
    packLimitBytes: chance(0.4) ? 64 * below(8) : Number.POSITIVE_INFINITY,
  };
}

/** The cheapest cover's cost by trying everything; undefined when there is none. */
function bruteForce(problem: CoverProblem): number | undefined {
  const { options, wanted, given, convertUs, packLimitBytes } = problem;
  let best: number | undefined;
  const visit = (chosen: readonly CoverOption[]): void => {
    const us = chosen.reduce((sum, option) => sum + option.us, 0);
    if (best !== undefined && us >= best) return;
    const made = new Set(chosen.flatMap((option) => option.makes));
    const needs = [...wanted.map((value) => ({ value, layout: "" })), ...chosen.flatMap((option) => option.reads)];
    const missing = needs.find(({ value }) => !given.has(value) && !made.has(value));
    if (missing) {
      for (const option of options)
        if (option.makes.includes(missing.value) && !option.makes.some((value) => made.has(value)))
          visit([...chosen, option]);
      return;
    }
    const written = new Map(
      chosen.flatMap((option) => option.writes.map((write) => [write.value, write.layout] as const)),
    );
    let total = us;
    const conversions = new Set<string>();
    for (const { value, layout } of needs) {
      if (given.has(value) && layout === "") continue;
      const from = written.get(value);
      if (from === undefined) return;
      if (from === layout || conversions.has(`${value}|${layout}`)) continue;
      const cost = convertUs(value, from, layout);
      if (cost === undefined) return;
      conversions.add(`${value}|${layout}`);
      total += cost;
    }
    const packs = new Map(chosen.flatMap((option) => option.packs.map((pack) => [pack.key, pack.bytes] as const)));
    if ([...packs.values()].reduce((sum, bytes) => sum + bytes, 0) > packLimitBytes) return;
    if (!canBeOrdered(chosen)) return;
    if (best === undefined || total < best) best = total;
  };
  visit([]);
  return best;
}

/** Runs whatever can run until nothing is left or nothing moves. */
function canBeOrdered(chosen: readonly CoverOption[]): boolean {
  let left = [...chosen];
  while (left.length > 0) {
    const waiting = left.filter((option) => {
      const others = left.filter((other) => other !== option);
      return others.some(
        (other) =>
          other.writes.some((write) => option.reads.some((read) => read.value === write.value)) ||
          other.reads.some((read) => option.overwrites.includes(read.value)),
      );
    });
    if (waiting.length === left.length) return false;
    left = waiting;
  }
  return true;
}

test("the cover equals brute force on 200 random graphs of up to 12 nodes", async () => {
  const met = { feasible: 0, infeasible: 0, conversions: 0, fused: 0, limited: 0 };
  for (let seed = 1; seed <= 200; seed++) {
    const problem = randomProblem(seed);
    const expected = bruteForce(problem);
    if (expected === undefined) {
      met.infeasible++;
      await assert.rejects(cover(problem), (error) => error instanceof TroupeError && error.code === "plan");
      continue;
    }
    const found = await cover(problem);
    assert.ok(Math.abs(found.us - expected) < 1e-6, `seed ${seed}: cover ${found.us}, brute force ${expected}`);
    const chosen = found.chosen.map((index) => problem.options[index]!);
    assert.ok(canBeOrdered(chosen), `seed ${seed} has a cycle`);
    assert.ok(packBytes(problem, found) <= problem.packLimitBytes);
    met.feasible++;
    if (found.conversions.length > 0) met.conversions++;
    if (chosen.some((option) => option.makes.length > 2)) met.fused++;
    if (Number.isFinite(problem.packLimitBytes)) met.limited++;
  }
  // The cases must really contain what they are there for.
  assert.ok(met.feasible >= 150 && met.conversions >= 15 && met.fused >= 50 && met.limited >= 30, JSON.stringify(met));
});

test("the same problem gives the same cover", async () => {
  const problem = randomProblem(7);
  assert.deepEqual(await cover(problem), await cover(problem));
});

const option = (region: number, makes: number[], reads: number[], us: number, writes = makes): CoverOption => ({
  region,
  makes,
  reads: reads.map((value) => ({ value, layout: "" })),
  writes: writes.map((value) => ({ value, layout: "" })),
  overwrites: [],
  us,
  packs: [],
});

const problemOf = (options: readonly CoverOption[], wanted: readonly number[]): CoverProblem => ({
  options,
  wanted,
  given: new Set([0]),
  convertUs: () => undefined,
  packLimitBytes: Number.POSITIVE_INFINITY,
});

test("two cheap regions that wait for each other are not chosen together", async () => {
  // 1 → 2 and 3 → 4; {1, 4} and {2, 3} would each need the other first.
  const options = [
    option(0, [1], [0], 10), option(1, [2], [1], 10), option(2, [3], [0], 10), option(3, [4], [3], 10),
    option(4, [1, 4], [0, 3], 1), option(5, [2, 3], [0, 1], 1),
  ]; // prettier-ignore
  assert.equal(cyclesOf(options, [4, 5]).length, 1);
  const found = await cover(problemOf(options, [2, 4]));
  assert.equal(found.us, 21);
});

test("a graph that nobody can compute is refused with what is missing", async () => {
  await assert.rejects(cover(problemOf([option(0, [1], [0], 1)], [1, 2])), /nothing makes values 2/);
  await assert.rejects(cover(problemOf([option(0, [1], [5], 1)], [1])), /no usable maker/);
});

test("independent segments with equal costs are covered alike", async () => {
  const block = (at: number): CoverOption[] => [
    option(at, [at + 1], [at], 3), option(at + 1, [at + 2], [at + 1], 3), option(at + 2, [at + 1, at + 2], [at], 4, [at + 2]),
  ]; // prettier-ignore
  const options = [0, 2, 4, 6].flatMap((at) => block(at).map((o, i) => ({ ...o, region: at * 10 + i })));
  const found = await cover(problemOf(options, [8]));
  assert.deepEqual(found.chosen, [2, 5, 8, 11]);
  assert.equal(found.us, 16);
});
