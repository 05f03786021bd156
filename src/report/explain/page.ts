// An explanation as one self-contained page: no script, no request; light or dark as the reader has it, narrow or wide.
import type { ChangedPart, PartChoice, PlanDifference } from "../../plan/difference.js";
import { sideText } from "../../plan/difference-text.js";
import { clockText, isTelling, loweredText, refusalText } from "../../plan/explain-text.js";
import { timeText, type Comparison, type ExplainedCandidate, type ExplainedRegion, type Explanation } from "../../plan/explain.js"; // prettier-ignore
import { showBytes, showUs } from "../../plan/print.js";
import { pageStyle, providerClass } from "../bench/style.js";
import { boxMark, escapeXml, inlineSvg } from "../bench/svg.js";

export interface ExplainReport {
  /** "flux-shapes", or a file. */
  readonly title: string;
  /** The machine, dtype, threads; providers with versions. */
  readonly about: readonly string[];
  readonly notes: readonly string[];
  readonly explanations: readonly Explanation[];
  readonly differences: readonly PlanDifference[];
}

const MOST_TITLE = 90;
const OWN_STYLE = `
td.left,th.left{text-align:left}tr.chosen th,tr.chosen td{font-weight:600}tr.rejected{color:var(--soft)}
details.region{border-bottom:1px solid var(--line);margin:0}details.region>summary{color:var(--ink);padding:.45em 0;display:flex;gap:.8em;flex-wrap:wrap;list-style:none}
details.region>summary>b{font-weight:500;flex:1 1 20rem;overflow-wrap:anywhere}details.region>summary>span{color:var(--soft);font-variant-numeric:tabular-nums}
details.region>summary>.bar+span{min-width:6.5em}details.region>summary>span:last-child{min-width:7em;text-align:right}
.bar{height:6px;border-radius:3px;background:var(--mark);flex:0 1 8rem;align-self:center;overflow:hidden}.bar i{display:block;height:100%}
ul.facts{font-size:.9rem;margin:.4em 0 1em;padding-left:1.2em}td.id{overflow-wrap:anywhere;min-width:12rem}td.id small{white-space:normal;margin-bottom:.4em}`;

export function explainPage({ title, about, notes, explanations, differences }: ExplainReport): string {
  const providers = [...new Set(explanations.flatMap(({ usByProvider }) => Object.keys(usByProvider)))].toSorted();
  const legend = providers
    .map((name) => `<span><i class="${providerClass(name)}"></i>${escapeXml(name)}</span>`)
    .join("");
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>troupe explain: ${escapeXml(title)}</title><style>${pageStyle(providers)}${OWN_STYLE}</style></head>
<body><main>
<h1>${escapeXml(title)}</h1>
<p class="about">${about.map(escapeXml).join("<br>")}</p>
${list(notes)}
${differences.map(differenceSection).join("\n")}
${explanations.length > 0 ? `<p class="key">${legend}<span>share of the measured time</span></p>` : ""}
${explanations.map(component).join("\n")}
</main></body></html>
`;
}

const list = (texts: readonly string[]): string =>
  texts.length === 0 ? "" : `<ul class="facts">${texts.map((text) => `<li>${escapeXml(text)}</li>`).join("")}</ul>`;

const SHARES = { width: 720, height: 12 } as const;

/** One bar of every provider's share. */
function sharesSvg(shares: Readonly<Record<string, number>>): string {
  const total = Object.values(shares).reduce((sum, share) => sum + share, 0);
  let x = 0;
  const marks = Object.entries(shares)
    .toSorted(([, a], [, b]) => b - a)
    .map(([name, share]) => {
      const width = (SHARES.width * share) / total;
      const mark = boxMark({ ...SHARES, x, y: 0, width }, providerClass(name), `${name} ${((100 * share) / total).toFixed(1)} %`); // prettier-ignore
      x += width;
      return mark;
    });
  return inlineSvg({ ...SHARES, marks: marks.join("") }, "shares of time by provider", "shares");
}

const shortened = (text: string): string => (text.length > MOST_TITLE ? `${text.slice(0, MOST_TITLE)}…` : text);

function component(explanation: Explanation): string {
  const { component: name, label, usByProvider, regions, notes, lowered } = explanation;
  const most = Math.max(...regions.map(({ us = 0, uses }) => us * uses));
  return `<section><h2>${escapeXml(name)} <small>plan “${escapeXml(label)}”, ${timeText(explanation)}</small></h2>
${Object.values(usByProvider).some((us) => us > 0) ? sharesSvg(usByProvider) : ""}
${list(notes)}
${lowered ? `<pre class="scroll">${escapeXml(loweredText(lowered))}</pre>` : ""}
${regions.map((region) => regionDetails(region, most)).join("\n")}</section>`;
}

function regionDetails(region: ExplainedRegion, most: number): string {
  const { title, uses, us, chosen, candidates } = region;
  const share = us === undefined || most === 0 ? 0 : (100 * us * uses) / most;
  const time = us === undefined ? "" : `${showUs(us)} × ${uses}`;
  const rejected = candidates.filter(({ verdict }) => verdict !== "accepted").length;
  const rows = candidates.map(candidateRow);
  return `<details class="region"><summary><b>${escapeXml(shortened(title))}</b>
<span class="bar"><i class="${providerClass(chosen.provider)}" style="width:${share.toFixed(1)}%"></i></span>
<span>${escapeXml(chosen.provider)}</span><span>${time}</span></summary>
${list(factsOf(region))}
${
  rows.length === 0
    ? `<p class="about">${escapeXml(`${chosen.provider} ${chosen.id}`)}: nothing was measured</p>`
    : `<div class="scroll"><table><thead><tr><th>provider</th><th class="left">candidate</th><th>p50</th><th>p20 … p80</th><th>error</th><th>workspace</th><th class="left">layout</th><th class="left">verdict</th></tr></thead>
<tbody>${rows.join("\n")}</tbody></table></div>`
}${rejected > 0 ? `<p class="about">${rejected} not accepted</p>` : ""}</details>`;
}

function factsOf({
  names,
  runnerUp,
  bestOtherProvider,
  apartUs,
  floor,
  work,
  cannot,
  clock,
}: ExplainedRegion): readonly string[] {
  const over = floor?.timeOver === undefined ? "" : `, it takes ${floor.timeOver.toFixed(2)} times that`;
  return [
    `first used as ${names[0]}`,
    ...(floor ? [`floor ${showUs(floor.us)} for its ${floor.bound} (${(work.flops / 1e6).toPrecision(3)} MFLOP, ${showBytes(work.bytes)})${over}`] : []), // prettier-ignore
    ...(runnerUp ? [`runner-up: ${comparison(runnerUp)}`] : []),
    ...(bestOtherProvider ? [`best other provider: ${comparison(bestOtherProvider)}`] : []),
    ...(apartUs === undefined ? [] : [`its ops one by one, each by its fastest: ${showUs(apartUs)}`]),
    ...cannot.map(refusalText),
    ...(clock && isTelling(clock) ? [clockText(clock)] : []),
  ];
}

const comparison = ({ provider, id, ratio, beyond95, confidence }: Comparison): string =>
  ratio < 1
    ? `${provider} ${id}, ${(1 / ratio).toFixed(2)} × as fast, not chosen for what it costs elsewhere`
    : `${provider} ${id}, ${ratio.toFixed(2)} × the winner’s time, ${beyond95 ? "beyond" : "within"} the 95 % interval, sure to ${(100 * confidence).toFixed(0)} %`; // prettier-ignore

function candidateRow({
  provider,
  id,
  chosen,
  us,
  error,
  workspaceBytes,
  layouts,
  packs,
  verdict,
}: ExplainedCandidate): string {
  const kind = chosen ? "chosen" : verdict === "accepted" ? "" : "rejected";
  const cells = [
    `<td class="left id">${escapeXml(id)}</td>`,
    `<td>${us ? showUs(us.p50) : ""}</td>`,
    `<td>${us ? `${showUs(us.p20)} … ${showUs(us.p80)}` : ""}</td>`,
    `<td>${error === undefined ? "" : error.toExponential(1)}</td>`,
    `<td>${showBytes(workspaceBytes)}</td>`,
    `<td class="left id">${escapeXml([...layouts, ...packs.map((pack) => `pack ${pack}`)].join(", ") || "default")}</td>`,
    `<td class="left id">${escapeXml(verdict)}</td>`,
  ];
  return `<tr class="${kind}"><th scope="row">${escapeXml(provider)}</th>${cells.join("")}</tr>`;
}

function differenceSection({ component: name, before, after, circumstances, changes, same }: PlanDifference): string {
  const facts = [...circumstances, `${same.steps} steps by the same kernels${same.beforeUs > 0 ? `, ${showUs(same.beforeUs)} → ${showUs(same.afterUs)}` : ""}`]; // prettier-ignore
  return `<section><h2>${escapeXml(name)} <small>${escapeXml(`${sideText(before)} → ${sideText(after)}`)}</small></h2>
${list(facts)}
${
  changes.length === 0
    ? `<p class="about">no choice is different</p>`
    : `<div class="scroll"><table><thead><tr><th>uses</th><th class="left">before</th><th class="left">after</th><th>time</th></tr></thead><tbody>${changes.map(changeRow).join("\n")}</tbody></table></div>`
}</section>`;
}

const changeRow = ({ uses, before, after, us }: ChangedPart): string =>
  `<tr><th scope="row">${uses}</th><td class="left id">${parts(before)}</td><td class="left id">${parts(after)}</td><td>${us ? `${showUs(us.before)} → ${showUs(us.after)}` : ""}</td></tr>`;

const parts = (choices: readonly PartChoice[]): string =>
  choices.map(({ title, times, provider, id }) => `${times > 1 ? `${times} × ` : ""}${escapeXml(shortened(title))}<small>${escapeXml(`${provider} ${id}`)}</small>`).join(""); // prettier-ignore
