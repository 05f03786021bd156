// The difference of two plans on a terminal.
import type { ChangedPart, PartChoice, PlanDifference, Side } from "./difference.js";
import { showUs } from "./print.js";

/** Changes shown; the JSON has all. */
const MOST_CHANGES = 20;

export function differenceText({ component, before, after, circumstances, changes, same }: PlanDifference): string {
  const lines = [`${component}: ${sideText(before)} → ${sideText(after)}`];
  for (const text of circumstances) lines.push(`  ${text}`);
  if (same.steps > 0) lines.push(`  ${same.steps} steps by the same kernels${sameText(same)}`);
  if (changes.length === 0) lines.push("  no choice is different");
  for (const change of changes.slice(0, MOST_CHANGES)) lines.push(...changeText(change));
  if (changes.length > MOST_CHANGES) lines.push(`  and ${changes.length - MOST_CHANGES} more changes`);
  return `${lines.join("\n")}\n`;
}

export const sideText = ({ label, steps, expectedUs }: Side): string =>
  `"${label}", ${steps} ${steps === 1 ? "step" : "steps"}, ${expectedUs === undefined ? "not measured" : showUs(expectedUs)}`;

const sameText = ({ beforeUs, afterUs }: PlanDifference["same"]): string =>
  beforeUs > 0 && afterUs > 0 ? `, ${showUs(beforeUs)} → ${showUs(afterUs)}` : "";

function changeText({ uses, before, after, us }: ChangedPart): readonly string[] {
  const times = us ? `  ${showUs(us.before)} → ${showUs(us.after)}${uses > 1 ? " together" : ""}` : "";
  return [
    `\n${[...new Set([...before, ...after].map(({ title }) => title))][0]}  × ${uses}${times}`,
    `  − ${before.map(partText).join("; ") || "nothing"}`,
    `  + ${after.map(partText).join("; ") || "nothing"}`,
  ];
}

const MOST_TITLE = 60;
const partText = ({ title, times, provider, id, us }: PartChoice): string =>
  `${times > 1 ? `${times} × ` : ""}${title.length > MOST_TITLE ? `${title.slice(0, MOST_TITLE)}…` : title}: ${provider} ${id}${us === undefined ? "" : ` ${showUs(us)}`}`;
