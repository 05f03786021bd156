// What was measured of a region, said of its kin: regions that do the same on tensors of other sizes. The candidates are
// the kin's own; their times are those of the measured ones, times what the work of the two differs by.
import type { Region } from "../graph/region.js";
import { layoutKey } from "../plan/layout.js";
import { suits } from "../plan/select.js";
import { isCannot, type Candidate, type Provider } from "../provider/provider.js";
import { workOf } from "../tuner/expectation.js";
import type { CandidateFacts, Measurement, RegionRecord } from "../tuner/measurement.js";
import { likelyUs } from "./likely.js";
import { factsOf } from "./rules.js";

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

export class StandIns {
  readonly #providers: readonly Provider[];
  readonly #measured = new Map<string, Measured[]>();
  readonly #made = new Map<string, RegionRecord | undefined>();

  constructor(providers: readonly Provider[], measured: Iterable<Measured>) {
    this.#providers = providers;
    for (const one of measured) {
      const kind = kindOf(one.region);
      this.#measured.set(kind, [...(this.#measured.get(kind) ?? []), one]);
    }
  }

  /** Undefined where nothing of its kind was measured. */
  recordOf(region: Region): RegionRecord | undefined {
    const { signature } = region;
    if (!this.#made.has(signature)) this.#made.set(signature, this.#make(region));
    return this.#made.get(signature);
  }

  #make(region: Region): RegionRecord | undefined {
    const apart = (other: Measured): number => Math.abs(Math.log(likelyUs(other.region) / likelyUs(region)));
    const [nearest] = (this.#measured.get(kindOf(region)) ?? []).toSorted((a, b) => apart(a) - apart(b));
    if (!nearest || apart(nearest) > Math.log(MOST_APART)) return undefined;
    const factor = likelyUs(region) / likelyUs(nearest.region);
    const measurements = this.#providers.flatMap((provider) => counterparts(provider, nearest, region, factor));
    return measurements.length > 0 ? { ...nearest.record, signature: region.signature, title: "", measurements } : undefined; // prettier-ignore
  }
}

/** Of every way to lay operands out, what corresponds to the provider's fastest candidate. */
function counterparts(provider: Provider, { region, record }: Measured, kin: Region, factor: number): Measurement[] {
  const timed = record.measurements.filter(({ candidate, us }) => us && candidate.provider === provider.name);
  if (timed.length === 0) return [];
  const [theirs, own] = [provider.candidates(region, "full"), provider.candidates(kin, "full")];
  if (isCannot(theirs) || isCannot(own)) return [];
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
    const p50 = us!.p50 * factor;
    return counterpart ? [{ candidate: factsOf(counterpart), verdict: { kind: "accepted" }, us: { p20: p50, p50, p80: p50, runs: 0 } }] : []; // prettier-ignore
  });
}

const lies = ({ layouts: { inputs, outputs } }: Pick<CandidateFacts, "layouts">): string =>
  [inputs, outputs].map((layouts) => layouts.map(layoutKey).join(";")).join("|");
