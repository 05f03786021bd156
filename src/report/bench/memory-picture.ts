// A plan's memory map as a picture: steps from left to right, the arena from bottom to top, a box for every buffer.
import { showBytes } from "../../plan/print.js";
import { bytesInUse, type MemoryMap } from "./memory-map.js";
import { SHADES } from "./style.js";
import { boxMark, lineMark, textMark, textWidth, ticksTo, type Body } from "./svg.js";

const SIZES = { wide: { width: 1000, height: 300 }, narrow: { width: 360, height: 300 } } as const;
const LEFT = 52;
const AXIS = 30;
const LABEL = 11;
const MIB = 2 ** 20;

export function memoryBody(map: MemoryMap, form: "wide" | "narrow"): Body {
  const { width, height } = SIZES[form];
  const bottom = height - AXIS;
  const x = (step: number): number => LEFT + ((width - LEFT) * step) / map.steps;
  const y = (bytes: number): number => bottom - ((bottom - 8) * bytes) / map.arenaBytes;
  const ticks = ticksTo(map.arenaBytes / MIB).map(
    (mib) =>
      lineMark(LEFT, y(mib * MIB), width, y(mib * MIB), "line") +
      textMark(LEFT - 6, y(mib * MIB) + 4, showMib(mib), { size: LABEL, kind: "soft", anchor: "end" }),
  );
  const buffers = map.buffers.map(({ name, offsetBytes, bytes, from, to }, i) => {
    const box = { x: x(from), y: y(offsetBytes + bytes), width: x(to + 1) - x(from), height: y(0) - y(bytes) };
    const title = `${name}\n${showBytes(bytes)} at ${showBytes(offsetBytes)}, steps ${from} to ${to}`;
    const label = box.height > LABEL + 3 && textWidth(name, LABEL) < box.width - 6;
    const text = label ? textMark(box.x + 3, box.y + LABEL + 1, name, { size: LABEL, kind: "white" }) : "";
    return `${boxMark(box, `of-shade${i % SHADES.length} edge`, title)}${text}`;
  });
  const axis =
    textMark(LEFT, height - 12, "step 0", { size: LABEL, kind: "soft" }) +
    textMark(width, height - 12, `step ${map.steps - 1}`, { size: LABEL, kind: "soft", anchor: "end" }) +
    textMark(2, 12, "MiB", { size: LABEL, kind: "soft" });
  return { width, height, marks: [...ticks, ...buffers, axis].join("\n") };
}

const showMib = (mib: number): string => (mib >= 1 || mib === 0 ? String(mib) : mib.toPrecision(1));

/** What sharing memory saves. */
export function memoryFinding(name: string, map: MemoryMap): string {
  const apart = map.buffers.reduce((sum, { bytes }) => sum + bytes, 0);
  const used = Math.max(0, ...bytesInUse(map));
  return (
    `${name}: ${map.buffers.length} buffers share ${showBytes(map.arenaBytes)}; side by side they would take ${showBytes(apart)}, ` +
    `at most ${showBytes(used)} hold something at once`
  );
}
