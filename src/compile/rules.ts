// A plan without measuring: every region that some provider takes gets a stand-in record whose times follow a rule,
// and the same cover chooses. The rule favours what is ready at once: whole components of a library, then our fused
// kernels, then single ops, JavaScript last. Where the machine has a profile, products are chosen by its forecast.
import type { Region } from "../graph/region.js";
import { layoutKey } from "../plan/layout.js";
import { isPinned } from "../plan/pins.js";
import type { Proposal, Proposals } from "../plan/propose.js";
import type { Opened } from "../provider/open.js";
import { suits } from "../plan/select.js";
import { isCannot, type Provider } from "../provider/provider.js";
import { factsOf } from "../tuner/records/candidate-key.js";
import { flopsOf } from "../tuner/worker/expectation.js";
import type { CandidateFacts, RegionRecord } from "../tuner/records/measurement.js";
import type { Pin } from "../tuner/records/pin.js";
import type { Forecast } from "../tuner/shapes/forecast.js";
import type { Machine } from "./machine.js";

/** Microseconds that a rule charges for a step, whatever it does: fewer steps are better. */
const STEP_US = 5;
/** Multiply-adds of one microsecond: what a core reaches easily, and what JavaScript does. */
const FLOPS_PER_US = { native: 30_000, script: 1_500 } as const;
/** A library that takes a whole component has nothing left to build. */
const WHOLE_BONUS = 0.5;

/** Records by signature for all proposals: the first candidates, of every layout that may be chosen, those that are pinned, and of products the one that is foretold to be the fastest. */
export function ruleRecords(
  proposals: Proposals,
  machine: RuleMachine,
  pins: readonly Pin[] = [],
): ReadonlyMap<string, RegionRecord> {
  const records = new Map<string, RegionRecord>();
  for (const [signature, [first]] of proposals.bySignature) records.set(signature, ruleRecord(first!, machine, pins));
  return records;
}

/** What rules go by, beside the regions themselves. */
export type RuleMachine = Pick<Machine, "device" | "forecast"> & { readonly opened: Pick<Opened, "providers"> };

function ruleRecord(
  { region, whole }: Proposal,
  { device, forecast, opened: { providers } }: RuleMachine,
  pins: readonly Pin[],
): RegionRecord {
  const { threads } = device.target;
  const asked = new Map<Provider, ReturnType<Provider["candidates"]>>();
  const askAll = (provider: Provider): ReturnType<Provider["candidates"]> => {
    if (!asked.has(provider)) asked.set(provider, provider.candidates(region, "full"));
    return asked.get(provider)!;
  };
  const fastest = forecast.fastest(region, askAll);
  const cannot: { provider: string; reason: string }[] = [];
  const measurements = providers.flatMap((provider) => {
    const ids = pins.flatMap((pin) =>
      pin.provider === provider.name && pin.id && isPinned(pin, region) ? [pin.id] : [],
    );
    const wantsAll = asked.has(provider) || fastest?.provider === provider.name || ids.length > 0;
    const answer = wantsAll ? askAll(provider) : provider.candidates(region, mayTurn(region) ? "quick" : "none");
    if (isCannot(answer)) {
      cannot.push({ provider: provider.name, reason: answer.cannot });
      return [];
    }
    const fitting = answer.filter((candidate) => suits(region, candidate));
    const pick = fastest?.provider === provider.name ? answer[fastest.index] : undefined;
    const chosen = fitting.some(({ estimateUs }) => estimateUs !== undefined)
      ? fitting
      : fitting.filter((candidate, i) => ids.includes(candidate.id) || candidate === pick || fitting.findIndex((other) => lies(other) === lies(candidate)) === i); // prettier-ignore
    return chosen.map((candidate) => {
      const estimateUs = candidate.estimateUs ?? forecast.estimate(region, candidate);
      const p50 = estimateUs === undefined ? ruleUs(region, provider, { whole, forecast }) : STEP_US + estimateUs;
      const us = { p20: p50, p50, p80: p50, runs: 0 };
      return { candidate: factsOf(candidate), verdict: { kind: "accepted" as const }, us };
    });
  });
  return { signature: region.signature, title: "", threads, measurements, cannot, versions: {} };
}

/** Whether a plan may lay some image of the region out as it likes: then the first candidate of every layout counts. */
const mayTurn = ({ inputs, outputs }: Region): boolean =>
  [...inputs, ...outputs].some(({ kind, fixed, shape }) => kind === "activation" && !fixed && shape.length === 4);

/** Equal for candidates that lay operands out alike. */
export const lies = ({ layouts: { inputs, outputs } }: Pick<CandidateFacts, "layouts">): string =>
  [inputs, outputs].map((layouts) => layouts.map(layoutKey).join(";")).join("|");

interface RuleOptions {
  readonly whole: boolean;
  readonly forecast: Forecast;
}

function ruleUs(region: Region, provider: Provider, { whole, forecast }: RuleOptions): number {
  const native = forecast.flopsPerUs ?? FLOPS_PER_US.native;
  const rate = provider.name === "reference" ? FLOPS_PER_US.script : native;
  return (STEP_US + flopsOf(region) / rate) * (whole ? WHOLE_BONUS : 1);
}
