// An explanation on a terminal: a summary of the component, then each region with its candidates, or those of one op.
import { timeText, type Comparison, type Explanation, type ExplainedRegion } from "./explain.js";
import type { ClockFacts, Refusal } from "../tuner/records/measurement.js";
import type { Lowered, RefusedRegion } from "./plan.js";
import { columns, showBytes, showUs } from "./print.js";

export interface ExplainTextOptions {
  /** Only regions that compute this op, "linear", or whose nodes' names contain the text. */
  readonly only?: string;
}

export function explainText(explanation: Explanation, { only }: ExplainTextOptions = {}): string {
  const { component, label, lowered, regions, usByProvider, sureWins, notes } = explanation;
  const shown = regions.filter((region) => only === undefined || isAbout(region, only));
  const measuredUs = Object.values(usByProvider).reduce((sum, us) => sum + us, 0);
  const shares = Object.entries(usByProvider)
    .sort(([, a], [, b]) => b - a)
    .map(([provider, us]) => `${provider} ${measuredUs > 0 ? `${Math.round((100 * us) / measuredUs)} %` : ""}`.trim());
  const sure = Object.entries(sureWins).map(([provider, wins]) => `${provider} ${wins}`);
  let head = `${component}: plan "${label}", ${timeText(explanation)}; ${shares.join(", ")}${
    sure.length > 0 ? `\nregions won beyond the 95 % interval: ${sure.join(", ")}` : ""
  }${notes.map((note) => `\nnote: ${note}`).join("")}`;
  if (lowered) head += `\n${loweredText(lowered)}`;
  if (shown.length === 0) return `${head}\nno region computes ${only ?? "anything"}\n`;
  return `${[head, ...shown.map(regionText)].join("\n\n")}\n`;
}

/** Whether a region computes an op of this name, or has a node whose name contains the text. */
export const isAbout = ({ ops, names }: ExplainedRegion, only: string): boolean =>
  ops.split("+").includes(only) || names.some((name) => name.includes(only));

/** What lowering each region bought in time and cost in error, the most valuable first, and why others stayed. */
export function loweredText({ maxError, keptTo, error, inputs, base, regions, refused = [] }: Lowered): string {
  const byWorth = <One extends { readonly boughtUs?: number }>(all: readonly One[]): readonly One[] =>
    all.toSorted((a, b) => (b.boughtUs ?? 0) - (a.boughtUs ?? 0));
  const shown = ({ name, precision, boughtUs, error: own }: Omit<RefusedRegion, "reason">): readonly string[] => [
    name,
    precision,
    boughtUs === undefined ? "" : showUs(boughtUs),
    own === undefined ? "" : own === 0 ? "none seen" : own.toExponential(1),
  ];
  const table = (rows: readonly (readonly string[])[]): readonly string[] => columns(rows).map((line) => `  ${line}`);
  const bound = keptTo === undefined ? "" : `, ${keptTo.toPrecision(2)} kept to`;
  const told = [
    `lowered: error ${error.toExponential(1)} of ${maxError} allowed${bound}, the worst row of ${inputs} inputs of the whole model`,
  ];
  if (base)
    told.push(
      `  from the model in ${base.dtype}, whose own error is ${base.error.toExponential(1)}; a run of this takes ${showUs(base.boughtUs)} less than in f32`,
    );
  const costs = base ? "error added" : "error alone";
  if (regions.length > 0) told.push(...table([["region", "in", "bought a run", costs], ...byWorth(regions).map(shown)])); // prettier-ignore
  if (refused.length > 0)
    told.push(...table([["region that stays", "in", "would buy a run", costs, "because"], ...byWorth(refused).map((one) => [...shown(one), one.reason])])); // prettier-ignore
  return told.join("\n");
}

function regionText(region: ExplainedRegion): string {
  const { title, uses, us, names, candidates, cannot, chosen, apartUs, floor, clock } = region;
  const lines = [
    `${title}  × ${uses}${us === undefined ? "" : `  ${showUs(us)} each`}  (${names[0]}${uses > 1 ? ", …" : ""})`,
  ];
  const isForetold = candidates.some(({ forecastUs }) => forecastUs !== undefined);
  const rows = candidates.map(
    ({ provider, id, chosen: isChosen, us: times, forecastUs, error, layouts, packs, verdict }) => [
      isChosen ? "→" : " ",
      provider,
      id,
      times ? showUs(times.p50) : "",
      times ? `${showUs(times.p20)} … ${showUs(times.p80)}` : "",
      ...(isForetold ? [forecastUs === undefined ? "" : showUs(forecastUs)] : []),
      error === undefined ? "" : error.toExponential(1),
      [...layouts, ...packs.map((recipe) => `pack ${recipe}`)].join(", ") || "default",
      verdict,
    ],
  );
  if (rows.length > 0)
    lines.push(
      ...columns([
        [
          "",
          "provider",
          "candidate",
          "p50",
          "p20 … p80",
          ...(isForetold ? ["forecast"] : []),
          "error",
          "layout",
          "verdict",
        ],
        ...rows,
      ]).map((line) => `  ${line}`),
    );
  else lines.push(`  → ${chosen.provider} ${chosen.id}: nothing was measured`);
  for (const refusal of cannot) lines.push(`    ${refusalText(refusal)}`);
  if (clock && isTelling(clock)) lines.push(`  ${clockText(clock)}`);
  if (region.runnerUp) lines.push(`  runner-up: ${comparison(region.runnerUp)}`);
  if (region.bestOtherProvider) lines.push(`  best other provider: ${comparison(region.bestOtherProvider)}`);
  if (floor) lines.push(`  ${floorText(region, floor)}`);
  if (apartUs !== undefined) lines.push(`  its ops one by one, each by its fastest: ${showUs(apartUs)}`);
  return lines.join("\n");
}

/** "blas cannot: …" or, of candidates that were not tried, "12 of tile passed over: …". */
export const refusalText = ({ provider, reason, passed }: Refusal): string =>
  passed === undefined ? `${provider} cannot: ${reason}` : `${passed} of ${provider} passed over: ${reason}`;

/** Whether the clock made a difference. */
export const isTelling = ({ again, off }: ClockFacts): boolean => again + off > 0;

/** What came of a clock that did not rest while candidates were timed. */
export function clockText({ ghz, low, high, again, off }: ClockFacts): string {
  const left = off === 0 ? "" : `; ${off} count although it was`;
  return `clock: ${ghz.toFixed(2)} GHz, from ${low.toFixed(2)} to ${high.toFixed(2)} while they ran: ${again} runs were taken again because it was off${left}`;
}

function floorText({ work }: ExplainedRegion, { us, bound, timeOver }: NonNullable<ExplainedRegion["floor"]>): string {
  const over = timeOver === undefined ? "" : `, it takes ${timeOver.toFixed(2)} times that`;
  return `floor: ${showUs(us)} for its ${bound} (${(work.flops / 1e6).toPrecision(3)} MFLOP, ${showBytes(work.bytes)})${over}`;
}

function comparison({ provider, id, ratio, beyond95, confidence }: Comparison): string {
  const times =
    ratio >= 1
      ? `${ratio.toFixed(2)} × the winner's time`
      : `${(1 / ratio).toFixed(2)} × as fast, not chosen for what it costs elsewhere`;
  return `${provider} ${id}, ${times}${ratio >= 1 ? (beyond95 ? ", beyond the 95 % interval" : `, within the 95 % interval (sure to ${Math.round(100 * confidence)} %)`) : ""}`;
}
