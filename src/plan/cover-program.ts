// The integer program of a cover problem: a binary variable for each option, conversion and pack, rows that say what
// one solution needs. Names count from zero within the program, so equal segments of a model give equal text.
import type { ValueId } from "../graph/node.js";
import {
  certainValues, makersOf, type Conversion, type CoverOption, type CoverProblem, type LaidOut, type LayoutKey,
} from "./cover-problem.js"; // prettier-ignore

/** Readers of one value in one layout that exclude each other, or a demand of the whole problem (no readers). */
export interface Need {
  readonly at: LaidOut;
  readonly readers: readonly number[];
}

/** What a problem's rows are made of, worked out once and shared by all its segments. */
export interface CoverFacts {
  readonly problem: CoverProblem;
  readonly makers: ReadonlyMap<ValueId, readonly number[]>;
  readonly certain: ReadonlySet<ValueId>;
  /** Value → layout → options that leave it so. */
  readonly writers: ReadonlyMap<ValueId, ReadonlyMap<LayoutKey, readonly number[]>>;
  /** Needs that exact cover alone does not meet. */
  readonly needs: readonly Need[];
}

export function factsOf(problem: CoverProblem): CoverFacts {
  const makers = makersOf(problem.options);
  const certain = certainValues(problem);
  const writers = new Map<ValueId, Map<LayoutKey, number[]>>();
  const readers = new Map<ValueId, Map<LayoutKey, number[]>>();
  const add = (map: typeof writers, { value, layout }: LaidOut, index: number): void => {
    const layouts = map.get(value) ?? new Map<LayoutKey, number[]>();
    map.set(value, layouts);
    layouts.set(layout, [...(layouts.get(layout) ?? []), index]);
  };
  problem.options.forEach((option, index) => {
    for (const write of option.writes) add(writers, write, index);
    for (const read of option.reads) if (!problem.given.has(read.value)) add(readers, read, index);
  });
  const partial = { problem, makers, certain, writers };
  const needs: Need[] = [];
  for (const [value, layouts] of readers)
    for (const [layout, indices] of layouts) {
      const open = indices.filter((reader) => !isMet(partial, { value, layout }, reader));
      for (const group of exclusiveGroups(problem.options, open)) needs.push({ at: { value, layout }, readers: group });
    }
  for (const value of problem.wanted) {
    const at = { value, layout: "" };
    if (!problem.given.has(value) && !isMet(partial, at, undefined)) needs.push({ at, readers: [] });
  }
  return { ...partial, needs };
}

/**
 * Whether exactly-once already gives a reader its value: each maker of the value leaves it in this layout, or
 * makes something the reader makes too and so is not chosen with it.
 */
function isMet(facts: Omit<CoverFacts, "needs">, { value, layout }: LaidOut, reader: number | undefined): boolean {
  const makers = facts.makers.get(value) ?? [];
  if (!facts.certain.has(value) || makers.length === 0) return false;
  const { options } = facts.problem;
  const mine = new Set(reader === undefined ? [] : options[reader]!.makes);
  return makers.every((maker) => {
    const option = options[maker]!;
    return (
      option.writes.some((write) => write.value === value && write.layout === layout) ||
      option.makes.some((made) => mine.has(made))
    );
  });
}

/** Splits options into groups in which all make a common value, largest first: at most one of a group is chosen. */
function exclusiveGroups(options: readonly CoverOption[], indices: readonly number[]): number[][] {
  const groups: number[][] = [];
  let left = indices;
  while (left.length > 0) {
    const counts = new Map<ValueId, number>();
    for (const index of left) for (const made of options[index]!.makes) counts.set(made, (counts.get(made) ?? 0) + 1);
    const [common] = [...counts].reduce((best, entry) => (entry[1] > best[1] ? entry : best), [-1, 0]);
    const group = left.filter((index) => common === -1 || options[index]!.makes.includes(common));
    groups.push(group);
    left = left.filter((index) => !group.includes(index));
  }
  return groups;
}

/** A segment's program and what its variables stand for. */
export interface CoverProgram {
  readonly text: string;
  readonly options: ReadonlyMap<string, number>;
  readonly conversions: ReadonlyMap<string, Conversion>;
}

/** The program of some options that depend on no others. `cuts` are sets of regions not to be chosen all together. */
export function coverProgram(
  facts: CoverFacts,
  indices: readonly number[],
  needs: readonly Need[],
  cuts: readonly (readonly number[])[],
): CoverProgram {
  const { problem } = facts;
  const name = new Map(indices.map((index, i) => [index, `x${i}`]));
  const conversions = new Map<string, Conversion>();
  const costs: string[] = indices.map((index) => `${number(problem.options[index]!.us)} ${name.get(index)!}`);
  const rows: string[] = [];

  const made = new Set(indices.flatMap((index) => problem.options[index]!.makes));
  const seen = new Set<string>();
  for (const value of made) {
    const terms = facts.makers.get(value)!.map((index) => name.get(index)!);
    const row = `${terms.join(" + ")} ${facts.certain.has(value) ? "=" : "<="} 1`;
    if (seen.has(row) || (terms.length === 1 && row.includes("<"))) continue;
    seen.add(row);
    rows.push(row);
  }

  const converted = new Map<string, string>();
  const conversionsTo = ({ value, layout }: LaidOut): string[] =>
    [...(facts.writers.get(value) ?? [])].flatMap(([from, writers]) => {
      if (from === layout) return [];
      const key = `${value}|${from}|${layout}`;
      const known = converted.get(key);
      if (known) return [known];
      const us = problem.convertUs(value, from, layout);
      if (us === undefined) return [];
      const variable = `y${converted.size}`;
      converted.set(key, variable);
      conversions.set(variable, { value, from, to: layout });
      costs.push(`${number(us)} ${variable}`);
      rows.push(`${variable} ${minus(writers.map((index) => name.get(index)!))} <= 0`);
      return [variable];
    });
  for (const { at, readers } of needs) {
    const writers = (facts.writers.get(at.value)?.get(at.layout) ?? []).map((index) => name.get(index)!);
    const sources = [...writers, ...conversionsTo(at)];
    const wants = readers.map((index) => name.get(index)!);
    if (wants.length > 0) rows.push(`${wants.join(" + ")} ${minus(sources)} <= 0`);
    else rows.push(`${sources.length > 0 ? sources.join(" + ") : `0 ${name.get(indices[0]!)!}`} >= 1`);
  }

  for (const cut of cuts) {
    const regions = new Set(cut);
    const terms = indices.filter((index) => regions.has(problem.options[index]!.region));
    if (terms.length > 0) rows.push(`${terms.map((index) => name.get(index)!).join(" + ")} <= ${regions.size - 1}`);
  }

  const packs = packRows(problem, indices, name);
  rows.push(...packs.rows);
  const variables = [...name.values(), ...conversions.keys(), ...packs.names];
  const text = [
    "Minimize",
    ` cost: ${folded(costs.join(" + "))}`,
    "Subject To",
    ...rows.map((row, i) => ` r${i}: ${folded(row)}`),
    "Binary",
    ` ${folded(variables.join(" "))}`,
    "End",
  ].join("\n");
  return { text, options: new Map([...name].map(([index, variable]) => [variable, index])), conversions };
}

/** One variable for each pack that any option uses; only where memory is limited. */
function packRows(
  problem: CoverProblem,
  indices: readonly number[],
  name: ReadonlyMap<number, string>,
): { readonly rows: readonly string[]; readonly names: readonly string[] } {
  const limit = problem.packLimitBytes;
  if (!Number.isFinite(limit)) return { rows: [], names: [] };
  const packs = new Map<string, { variable: string; bytes: number }>();
  const rows: string[] = [];
  for (const index of indices)
    for (const { key, bytes } of problem.options[index]!.packs) {
      if (!packs.has(key)) packs.set(key, { variable: `z${packs.size}`, bytes });
      rows.push(`${name.get(index)!} - ${packs.get(key)!.variable} <= 0`);
    }
  const kept = [...packs.values()];
  // In parts of the limit, so that the solver's tolerances suit; the limit itself may be zero.
  const unit = Math.max(limit, ...kept.map((pack) => pack.bytes), 1) / 1024;
  const sum = kept.map(({ variable, bytes }) => `${number(bytes / unit)} ${variable}`).join(" + ");
  if (kept.length > 0) rows.push(`${sum} <= ${number(limit / unit)}`);
  return { rows, names: kept.map((pack) => pack.variable) };
}

const number = (x: number): string => String(Number(x.toPrecision(15)));
const minus = (terms: readonly string[]): string => terms.map((term) => `- ${term}`).join(" ");

/** LP files are read by lines of limited length. */
const folded = (text: string): string => text.replace(/(.{1,200})(?= [+-] | x| y| z|$)/g, "$1\n").trim();
