// What long work is expected to take, and what it took of memory, as a line each.
import { bytesText } from "../core/printable.js";
import type { Forecast } from "../compile/component.js";
import type { MemoryUse } from "../pipeline/image/memory.js";
import { totalBytes } from "../session/needs.js";
import type { Ui } from "./ui.js";

/** "memory: peak 96 MB above the libraries; weights 44 MB, arena 35 MB". */
export function showMemory(ui: Ui, { peak, stored, needs }: MemoryUse): void {
  const { weights, packs, arena, workspace, ports, own } = needs;
  const values = arena + workspace + ports + own.scratchBytes;
  ui.data("memory", { peak, stored, arena: values, needs });
  const kept = packs > 0 ? ` (kept as ${bytesText(weights)} and ${bytesText(packs)} of packs)` : "";
  ui.note(
    `memory: peak ${bytesText(peak)} above the libraries; weights ${bytesText(stored)}${kept}, arena ${bytesText(values)}`,
  );
}

/** Said before the work begins. */
export function showForecast(ui: Ui, forecast: Forecast): void {
  ui.data("forecast", forecast);
  if (forecast.what === "tuning") {
    const { regions, seconds, bytes } = forecast;
    const most = seconds === undefined ? "as long as it takes" : `at most ${Math.ceil(seconds)} s`;
    return ui.note(
      `forecast: ${regions} parts to look at, ${most}; the model takes ${bytesText(bytes)} of memory or more`,
    );
  }
  const { seconds, needs } = forecast;
  const { weights, packs, arena, workspace, ports, own } = needs;
  const libraries = own.weightsBytes + own.scratchBytes;
  const parts = [
    ["weights", weights], ["packs", packs], ["arena", arena], ["workspace", workspace], ["inputs and outputs", ports],
    ["libraries' own", libraries],
  ] as const; // prettier-ignore
  const memory = parts.filter(([, bytes]) => bytes > 0).map(([name, bytes]) => `${name} ${bytesText(bytes)}`);
  const time = seconds === undefined ? "" : `${seconds.toFixed(2)} s a run, `;
  ui.note(`forecast: ${time}${bytesText(totalBytes(needs))} of memory: ${memory.join(", ")}`);
}
