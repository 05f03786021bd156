// What a plan file says by itself: which candidate was chosen how often, and for how much of the time.
import type { Plan } from "../plan/plan.js";
import { showBytes, showUs } from "../plan/print.js";
import { table } from "./ui.js";

export function choicesTable({ graph, label, target, versions, steps, expectedUs, arenaBytes }: Plan): string {
  const uses = new Map<string, { provider: string; id: string; times: number; us: number }>();
  for (const { choice, us = 0 } of steps) {
    const key = `${choice.provider} ${choice.id}`;
    const known = uses.get(key) ?? { provider: choice.provider, id: choice.id, times: 0, us: 0 };
    uses.set(key, { ...known, times: known.times + 1, us: known.us + us });
  }
  const rows = [...uses.values()]
    .toSorted((a, b) => b.us - a.us || b.times - a.times)
    .map(({ provider, id, times, us }) => [provider, id, String(times), us > 0 ? showUs(us) : "not measured"]);
  const time = expectedUs === undefined ? "" : `, ${showUs(expectedUs)} expected`;
  return [
    `${graph.name}: plan "${label}", ${steps.length} steps${time}, arena ${showBytes(arenaBytes)}`,
    `for ${target.hardware}, ${target.isa.name}, ${target.threads} threads`,
    `chosen from ${Object.entries(versions).map(([name, version]) => `${name} ${version}`).join(", ")}`, // prettier-ignore
    "",
    table([["provider", "candidate", "steps", "time"], ...rows]),
  ].join("\n");
}
