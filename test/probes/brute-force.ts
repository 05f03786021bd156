// The oracle of the cover: the cheapest way to compute a small graph, found by trying every combination of regions and
// candidates. It knows nothing of integer programs, segments or cuts.
import type { TensorType, ValueId } from "../../src/graph/node.js";
import { layoutKey, layoutOf } from "../../src/plan/layout.js";
import type { Proposals } from "../../src/plan/propose.js";
import { bordersOf, suits, type SelectOptions } from "../../src/plan/select.js";
import type { RegionRecord } from "../../src/tuner/records/measurement.js";

interface Option extends ReturnType<typeof bordersOf> {
  readonly us: number;
}

/** Microseconds of the cheapest plan; undefined when nothing computes the graph. */
export function cheapest(
  { regions, all }: Proposals,
  records: ReadonlyMap<string, RegionRecord>,
  conversionOf: NonNullable<SelectOptions["conversionOf"]>,
): number | undefined {
  const options = all.flatMap((proposal) => {
    const best = new Map<string, Option>(); // of candidates alike to the outside the cheapest
    for (const { candidate, us } of records.get(proposal.region.signature)?.measurements ?? []) {
      if (!us || !suits(proposal.region, candidate)) continue;
      const { inputs, outputs } = candidate.layouts;
      const key = `${inputs.map(layoutKey).join(";")}>${outputs.map(layoutKey).join(";")}`;
      if (us.p50 < (best.get(key)?.us ?? Infinity))
        best.set(key, { ...bordersOf(regions, proposal, candidate), us: us.p50 });
    }
    return [...best.values()];
  });
  const makers = new Map<ValueId, Option[]>();
  for (const option of options.sort((a, b) => a.us / a.makes.length - b.us / b.makes.length))
    for (const value of option.makes) makers.set(value, [...(makers.get(value) ?? []), option]);
  const type = (value: ValueId): TensorType => regions.graph.values[value]!;
  const given = new Set(regions.graph.sources.keys());

  let best: number | undefined;
  const visit = (chosen: readonly Option[], made: ReadonlySet<ValueId>, us: number): void => {
    if (best !== undefined && us >= best) return;
    const needed = [...regions.wanted, ...chosen.flatMap(({ reads }) => reads.map(({ value }) => value))];
    const missing = needed.find((value) => !given.has(value) && !made.has(value));
    if (missing !== undefined) {
      for (const option of makers.get(missing) ?? [])
        if (!option.makes.some((value) => made.has(value)))
          visit([...chosen, option], new Set([...made, ...option.makes]), us + option.us);
      return;
    }
    const total = us + (conversionsUs(chosen) ?? Infinity);
    if (total < (best ?? Infinity) && canRun(chosen)) best = total;
  };

  /** Each value brought once into each layout it is read in; undefined where that cannot be. */
  const conversionsUs = (chosen: readonly Option[]): number | undefined => {
    const written = new Map(
      chosen.flatMap(({ writes }) => writes.map(({ value, layout }) => [value, layout] as const)),
    );
    const wanted = [...regions.wanted].map((value) => ({ value, layout: "" }));
    const needs = new Set([...wanted, ...chosen.flatMap(({ reads }) => reads)].map(({ value, layout }) => `${value}|${layout}`)); // prettier-ignore
    let us = 0;
    for (const need of needs) {
      const [value, to] = [Number.parseInt(need), need.slice(need.indexOf("|") + 1)];
      const from = given.has(value) ? "" : written.get(value);
      if (from === undefined) return undefined;
      if (from === to) continue;
      const conversion = conversionOf(type(value), layoutOf(from), layoutOf(to));
      if (!conversion) return undefined;
      us += conversion.us;
    }
    return us;
  };

  /** Runs whatever can run until all have run or none can. */
  const canRun = (chosen: readonly Option[]): boolean => {
    const there = new Set(given);
    let left = [...chosen];
    while (left.length > 0) {
      const ready = left.filter(({ reads }) => reads.every(({ value }) => there.has(value)));
      if (ready.length === 0) return false;
      for (const { writes } of ready) for (const { value } of writes) there.add(value);
      left = left.filter((option) => !ready.includes(option));
    }
    return true;
  };

  visit([], new Set(), 0);
  return best;
}
