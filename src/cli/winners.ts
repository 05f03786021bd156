// The table of winners: per component what each provider does of it, and the chosen plan against its rivals.
import type { CompiledComponent } from "../compile/component.js";
import { SURE_SAMPLES } from "../core/statistics.js";
import { table, type Ui } from "./ui.js";

/** Shows the winners: the table for people, a line a component for programs. */
export function showWinners(ui: Ui, compiled: readonly CompiledComponent[]): void {
  for (const { component, plan, origin, standings } of compiled) {
    const { label, expectedUs, steps } = plan;
    const regions = Object.fromEntries(wins(steps));
    ui.data("winners", { component: component.name, origin, label, expectedUs, regions, standings });
  }
  ui.result(`\n${winnersTable(compiled)}`);
}

/** Steps by provider. */
export function wins(steps: CompiledComponent["plan"]["steps"]): ReadonlyMap<string, number> {
  const won = new Map<string, number>();
  for (const { choice } of steps) won.set(choice.provider, (won.get(choice.provider) ?? 0) + 1);
  return won;
}

/** One row a component, one column a provider: regions won. Then the standings end to end. */
export function winnersTable(compiled: readonly CompiledComponent[]): string {
  const counts = compiled.map(({ plan }) => wins(plan.steps));
  const providers = [...new Set(counts.flatMap((won) => [...won.keys()]))].sort();
  const rows = compiled.map(({ component, plan }, i) => [
    component.name,
    plan.label,
    ...providers.map((name) => String(counts[i]!.get(name) ?? "")),
    plan.expectedUs === undefined ? "" : `${(plan.expectedUs / 1e3).toFixed(2)} ms`,
  ]);
  const regions = table([["component", "plan", ...providers, "expected"], ...rows]);
  const standings = compiled.filter(({ standings: all }) => all.length > 0).map(standingsTable);
  return ["regions won", regions, ...standings].join("\n");
}

/** What stands where no interval does. */
const FEW_PAIRS = ["not run: expected", "far ahead in one pair"] as const;

function standingsTable({ component, standings }: CompiledComponent): string {
  const rows = standings.map(({ label, us, champion: { median, low, high }, pairs }) => [
    label,
    `${(us / 1e3).toFixed(2)} ms`,
    median.toFixed(3),
    pairs >= SURE_SAMPLES
      ? `${low.toFixed(3)} … ${high.toFixed(3)}`
      : (FEW_PAIRS[pairs] ?? `ahead in all of ${pairs} pairs`),
  ]);
  return `\n${component.name}, end to end\n${table([["rival", "median", "champion is × as fast", "95 % interval"], ...rows])}`;
}
