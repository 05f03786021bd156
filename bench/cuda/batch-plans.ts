// Plans of FLUX.1's denoise step for several pictures at once: by rules, by the libraries alone, by our tile kernels alone,
// and by rules with the dearest regions measured.
import type { Component } from "../../src/compile/component.js";
import { currentOf, librariesTogether, planOf, togetherLabel } from "../../src/compile/contenders.js";
import { conversionsBy } from "../../src/compile/conversions.js";
import type { Machine } from "../../src/compile/machine.js";
import { lies, ruleRecords } from "../../src/compile/rules.js";
import type { Graph } from "../../src/graph/node.js";
import { Regions, type Region } from "../../src/graph/region.js";
import { imageComponents, type ImageModel } from "../../src/pipeline/image/components.js";
import { imageShape } from "../../src/pipeline/image/shape.js";
import type { Plan } from "../../src/plan/plan.js";
import { propose, type Proposals } from "../../src/plan/propose.js";
import { selectSingle } from "../../src/plan/rivals.js";
import { select, type SelectedRegion, type Selection, type SelectOptions } from "../../src/plan/select.js";
import { rewriteGraph } from "../../src/rewrite/passes.js";
import { tune } from "../../src/tuner/tune.js";
import { RecordStore } from "../../src/tuner/records/records.js";

export const WAYS = ["rules", "libraries", "tile", "tuned"] as const;
export type WayName = (typeof WAYS)[number];

/** The regions that make up this share of the plan's time, as far as rules know it, are worth measuring. */
const MATTERS = 0.99;

export interface Tuned {
  /** Distinct regions that were measured, of those that matter. */
  readonly measured: number;
  readonly of: number;
  readonly seconds: number;
}

export class StepPlans {
  readonly #machine: Machine;
  readonly component: Component;
  readonly graph: Graph;
  readonly #proposals: Proposals;
  readonly #sources: SelectOptions;
  #rules: Promise<Selection> | undefined;

  /** @param batch pictures of one step */
  constructor(
    machine: Machine,
    model: ImageModel,
    { batch, steps }: { readonly batch: number; readonly steps: number },
  ) {
    this.#machine = machine;
    this.component = imageComponents(model, imageShape(model, { batch, steps, dtype: "bf16" })).step;
    this.graph = rewriteGraph(this.component.graph);
    this.#proposals = propose(new Regions(this.graph), machine.opened.providers);
    const rules = ruleRecords(this.#proposals, machine);
    this.#sources = {
      recordOf: (signature) => rules.get(signature),
      conversionOf: conversionsBy(machine.opened.providers),
    };
  }

  async plan(way: WayName): Promise<Plan> {
    return planOf(this.#machine, await this.#selection(way), way);
  }

  /** Who the providers of a way are, for people. */
  label(way: WayName): string {
    if (way === "libraries") return togetherLabel(librariesTogether(this.#machine));
    return way === "tile" ? "single(tile)" : way;
  }

  /** Measures the regions of the plan by rules, dearest first, and records what it finds. */
  async tune(budgetMs: number, say: (text: string) => void): Promise<Tuned> {
    const began = performance.now();
    const regions = await this.#dearest();
    const { records } = await tune(regions, this.#machine.device.target, {
      effort: "quick",
      specs: this.#machine.specs,
      budgetMs,
      onProgress: ({ done, total, title, best = "nothing is right" }) =>
        say(`tuned ${done} of ${total}, ${title}: ${best}`),
    });
    const measured = records.filter(({ measurements }) => measurements.some(({ us }) => us && us.runs > 0)).length;
    return { measured, of: regions.length, seconds: (performance.now() - began) / 1e3 };
  }

  #selection(way: WayName): Promise<Selection> {
    if (way === "libraries") return selectSingle(this.#proposals, librariesTogether(this.#machine), this.#sources);
    if (way === "tile") return selectSingle(this.#proposals, ["tile"], this.#sources);
    this.#rules ??= select(this.#proposals, this.#sources);
    return way === "tuned" ? this.#rules.then((selection) => this.#measured(selection)) : this.#rules;
  }

  /** The regions of the selection, each by the fastest candidate that was measured and lays its operands out alike. */
  #measured(selection: Selection): Selection {
    const store = new RecordStore(this.#machine.device.target);
    const chosen = selection.chosen.map((one): SelectedRegion => {
      const { measurements = [] } = currentOf(store, one.proposal.region.signature, this.#machine) ?? {};
      const [best] = measurements
        .filter(
          ({ verdict, us, candidate }) =>
            verdict.kind === "accepted" && us && us.runs > 0 && lies(candidate) === lies(one.candidate),
        ) // prettier-ignore
        .toSorted((a, b) => a.us!.p50 - b.us!.p50);
      return best ? { ...one, candidate: best.candidate, us: best.us!.p50 } : one;
    });
    return { ...selection, chosen };
  }

  async #dearest(): Promise<readonly Region[]> {
    const sums = new Map<string, { readonly region: Region; us: number }>();
    for (const { proposal, candidate } of (await this.#selection("rules")).chosen) {
      const { region } = proposal;
      const rows = this.#sources.recordOf(region.signature)!.measurements;
      const { us } = rows.find(
        (row) => row.candidate.provider === candidate.provider && row.candidate.id === candidate.id,
      )!;
      const known = sums.get(region.signature);
      sums.set(region.signature, { region, us: (known?.us ?? 0) + us!.p50 });
    }
    const all = [...sums.values()].toSorted((a, b) => b.us - a.us);
    const total = all.reduce((sum, { us }) => sum + us, 0);
    let before = 0;
    return all
      .filter(({ us }) => {
        const matters = before <= MATTERS * total;
        before += us;
        return matters;
      })
      .map(({ region }) => region);
  }
}
