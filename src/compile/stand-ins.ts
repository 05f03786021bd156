// Times for regions that were not measured, from regions that were. Kin do the same on tensors of other sizes: their times
// differ as their work does. A fused region takes what its parts take, less what is not written and read in between.
import { dtypeBytes } from "../core/dtype.js";
import { sizeOf } from "../core/shape.js";
import type { TensorType } from "../graph/node.js";
import type { Region } from "../graph/region.js";
import type { Proposals } from "../plan/propose.js";
import { suits } from "../plan/select.js";
import { chainOf } from "../provider/native/chain.js";
import { isCannot, type Candidate, type Provider } from "../provider/provider.js";
import { workOf } from "../tuner/worker/expectation.js";
import type { Measurement, RegionRecord } from "../tuner/records/measurement.js";
import { factsOf } from "../tuner/records/candidate-key.js";
import { schedule } from "../tuner/pruning/kin.js";
import { BYTES_PER_US, likelyUs, STEP_US } from "./likely.js";
import { lies } from "./rules.js";

/** Regions further apart than this say nothing of each other: other caches hold what they read. */
const MOST_APART = 64;

/** Equal for regions of the same ops on operands that lie alike but for their sizes. */
export function kindOf(region: Region): string {
  const ops = workOf(region).map(({ op, params }) => [op, params]);
  const operands = [...region.inputs, ...region.outputs].map(({ dtype, kind, fixed, shape, strides }) => {
    const order = strides.map((_, d) => d).filter((d) => shape[d]! > 1).toSorted((a, b) => strides[b]! - strides[a]!); // prettier-ignore
    const taps = kind === "weight" ? shape.slice(2) : [];
    return [dtype, kind, fixed && shape.length === 4, shape.length, order, taps];
  });
  return JSON.stringify([ops, operands]);
}

interface Measured {
  readonly region: Region;
  readonly record: RegionRecord;
}

/** A candidate without what it is made of. */
type Offered = Pick<Candidate, "id"> & { readonly method: string | undefined };

export class StandIns {
  readonly #providers: readonly Provider[];
  readonly #measured = new Map<string, Measured[]>();
  readonly #made = new Map<string, RegionRecord | undefined>();
  readonly #offered = new Map<string, readonly Offered[]>();

  constructor(providers: readonly Provider[], measured: Iterable<Measured>) {
    this.#providers = providers;
    for (const one of measured) {
      const kind = kindOf(one.region);
      this.#measured.set(kind, [...(this.#measured.get(kind) ?? []), one]);
    }
  }

  /** What is known of a component's regions: measured, by their kin, by `rules`, by their parts. */
  records(
    { all, bySignature }: Proposals,
    measured: (signature: string) => RegionRecord | undefined,
    rules: (signature: string) => RegionRecord | undefined,
  ): (signature: string) => RegionRecord | undefined {
    const alone = new Map(
      all.filter(({ from }) => from === "single").map(({ work, region }) => [work[0]!, region.signature]),
    );
    const known = new Map<string, RegionRecord | undefined>();
    const find = (signature: string): RegionRecord | undefined => {
      const there = measured(signature);
      const [proposal] = bySignature.get(signature) ?? [];
      if (there || !proposal) return there;
      const { region, work } = proposal;
      const own = this.ofKin(region) ?? rules(signature);
      if (own || work.length === 1) return own;
      const parts = work.map((id) => get(alone.get(id)!));
      return parts.every((part) => part !== undefined) ? this.ofParts(region, parts) : undefined;
    };
    const get = (signature: string): RegionRecord | undefined => {
      if (!known.has(signature)) known.set(signature, find(signature));
      return known.get(signature);
    };
    return get;
  }

  /** By kin; undefined where nothing of its kind was measured. */
  ofKin(region: Region): RegionRecord | undefined {
    const { signature } = region;
    if (!this.#made.has(signature)) this.#made.set(signature, this.#fromKin(region));
    return this.#made.get(signature);
  }

  #fromKin(region: Region): RegionRecord | undefined {
    const apart = (other: Measured): number => Math.abs(Math.log(likelyUs(other.region) / likelyUs(region)));
    const [nearest] = (this.#measured.get(kindOf(region)) ?? []).toSorted((a, b) => apart(a) - apart(b));
    if (!nearest || apart(nearest) > Math.log(MOST_APART)) return undefined;
    const factor = likelyUs(region) / likelyUs(nearest.region);
    const measurements = this.#providers.flatMap((provider) => this.#counterparts(provider, nearest, region, factor));
    return measurements.length > 0 ? { ...nearest.record, signature: region.signature, title: "", measurements } : undefined; // prettier-ignore
  }

  /**
   * A chain by its parts, each with its record, the head's first; the candidates are those that do with all of it what one
   * does with the head alone. Undefined where there is none.
   */
  ofParts(region: Region, [head, ...links]: readonly RegionRecord[]): RegionRecord | undefined {
    if (!head || links.length === 0 || isCannot(chainOf(region))) return undefined;
    const bestOf = ({ measurements }: RegionRecord): number => Math.min(...measurements.flatMap(({ us }) => us?.p50 ?? [])); // prettier-ignore
    const more = links.reduce((sum, link) => sum + bestOf(link), 0) - passedOnUs(region, links.length);
    const alone = new Map(
      head.measurements.flatMap(({ candidate, us }) => (us ? [[schedule(candidate), us.p50]] : [])),
    );
    const measurements = this.#providers.flatMap((provider) => {
      const answer = provider.candidates(region, "full");
      if (isCannot(answer)) return [];
      return answer.flatMap((candidate): Measurement[] => {
        const us = suits(region, candidate) ? alone.get(schedule(candidate)) : undefined;
        return us === undefined ? [] : [madeUp(candidate, us + Math.max(0, more))];
      });
    });
    return measurements.length > 0 ? { ...head, signature: region.signature, title: "", measurements } : undefined;
  }

  /** Of every way to lay operands out, what corresponds to the provider's fastest candidate. */
  #counterparts(provider: Provider, { region, record }: Measured, kin: Region, factor: number): Measurement[] {
    const timed = record.measurements.filter(({ candidate, us }) => us && candidate.provider === provider.name);
    if (timed.length === 0) return [];
    const [theirs, own] = [this.#offeredFor(provider, region), provider.candidates(kin, "full")];
    if (isCannot(own)) return [];
    const best = new Map<string, Measurement>();
    for (const one of timed.toSorted((a, b) => a.us!.p50 - b.us!.p50)) {
      const key = lies(one.candidate);
      if (!best.has(key)) best.set(key, one);
    }
    return [...best.values()].flatMap(({ candidate, us }): Measurement[] => {
      const index = theirs.findIndex(({ id }) => id === candidate.id);
      const method = theirs[index]?.method;
      const alike = own.filter(
        (other) => other.method === method && lies(other) === lies(candidate) && suits(kin, other),
      );
      const near = (other: Candidate): number => Math.abs(own.indexOf(other) - index);
      const [counterpart] = alike.toSorted((a, b) => near(a) - near(b));
      return counterpart ? [madeUp(counterpart, us!.p50 * factor)] : [];
    });
  }

  /** What a provider has for a measured region; asked once, for many stand on it. */
  #offeredFor(provider: Provider, region: Region): readonly Offered[] {
    const key = `${provider.name} ${region.signature}`;
    let offered = this.#offered.get(key);
    if (!offered) {
      const answer = provider.candidates(region, "full");
      offered = isCannot(answer) ? [] : answer.map(({ id, method }) => ({ id, method }));
      this.#offered.set(key, offered);
    }
    return offered;
  }
}

/** What the steps of `links` and the tensors that they take over cost, which one kernel leaves out. */
function passedOnUs({ graph, nodes, outputs }: Region, links: number): number {
  const shown = new Set(outputs.map(({ value }) => value));
  const inside = nodes.flatMap((node) => node.outputs).filter((value) => !shown.has(value));
  const bytes = inside.reduce((sum, value) => sum + bytesOf(graph.values[value]!), 0);
  return links * STEP_US + (2 * bytes) / BYTES_PER_US;
}

const bytesOf = ({ shape, dtype }: TensorType): number => sizeOf(shape) * dtypeBytes(dtype);

const madeUp = (candidate: Candidate, p50: number): Measurement => ({
  candidate: factsOf(candidate),
  verdict: { kind: "accepted" },
  us: { p20: p50, p50, p80: p50, runs: 0 },
});
