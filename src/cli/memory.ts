// What a command took of memory, as a line.
import type { MemoryUse } from "../pipeline/image/memory.js";
import type { Ui } from "./ui.js";

/** "210 MB", "1.4 GB": powers of ten, as disks and downloads count. */
export function bytesText(bytes: number): string {
  const [unit, name] = bytes >= 999.5e6 ? [1e9, "GB"] : [1e6, "MB"];
  const value = bytes / unit;
  return `${value < 9.95 ? value.toFixed(1) : value.toFixed(0)} ${name}`;
}

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
