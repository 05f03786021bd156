// The winners' map: the components of a picture side by side, sized by the time they take in it, and inside each its
// parts in the colour of the provider that computes them.
import type { ChosenComponent, Part } from "./figures.js";
import { providerClass } from "./style.js";
import { boxMark, escapeXml, textMark, textWidth, type Body, type Box } from "./svg.js";
import { treemap } from "./treemap.js";

const MS = 1e3;
const HEAD = 20;
const GAP = 3;
/** A box smaller than this bears no words. */
const LEAST_HEIGHT = 17;
const SIZES = { wide: { width: 1000, height: 460 }, narrow: { width: 360, height: 560 } } as const;

/** Equal work by the same provider is one field of the map. */
interface Field {
  readonly ops: string;
  readonly provider: string;
  readonly ids: ReadonlySet<string>;
  readonly count: number;
  /** In a whole picture. */
  readonly us: number;
}

const total = (parts: readonly { readonly us: number }[]): number => parts.reduce((sum, { us }) => sum + us, 0);

const pictureUs = ({ parts, runs }: ChosenComponent): number => runs * total(parts);

const nameOf = ({ name, runs }: ChosenComponent): string => (runs > 1 ? `${name} × ${runs}` : name);

function fieldsOf({ parts, runs }: ChosenComponent): readonly Field[] {
  const fields = new Map<string, Part[]>();
  for (const part of parts) {
    const key = `${part.provider} ${part.ops}`;
    fields.set(key, [...(fields.get(key) ?? []), part]);
  }
  return [...fields.values()]
    .map((same) => ({
      ops: opsInShort(same[0]!.ops),
      provider: same[0]!.provider,
      ids: new Set(same.map(({ id }) => id)),
      count: same.length,
      us: runs * total(same),
    }))
    .filter(({ us }) => us > 0)
    .toSorted((a, b) => b.us - a.us);
}

/** Longer chains are counted, not named. */
const MOST_OPS = 4;

function opsInShort(ops: string): string {
  const all = ops.split("+");
  return all.length > MOST_OPS ? `${all.slice(0, 2).join(" + ")} + … (${all.length} ops)` : all.join(" + ");
}

export function winnersBody(components: readonly ChosenComponent[], form: "wide" | "narrow"): Body {
  const { width, height } = SIZES[form];
  const sorted = components.filter((one) => pictureUs(one) > 0).toSorted((a, b) => pictureUs(b) - pictureUs(a));
  const whole = sorted.reduce((sum, one) => sum + pictureUs(one), 0);
  const boxes = treemap(sorted.map(pictureUs), { x: 0, y: 0, width, height });
  const marks = sorted.map((component, i) => groupMarks(component, boxes[i]!, whole));
  return { width, height, marks: marks.join("\n") };
}

function groupMarks(component: ChosenComponent, box: Box, whole: number): string {
  const us = pictureUs(component);
  const name = nameOf(component);
  const said = fitting([`${name}, ${showMs(us)}`, name], box.width - 2 * GAP, 13);
  const head = box.height > 2 * HEAD && said !== undefined ? HEAD : 0;
  const inner = {
    x: box.x + GAP / 2,
    y: box.y + head + GAP / 2,
    width: box.width - GAP,
    height: box.height - head - GAP,
  };
  const fields = fieldsOf(component);
  const boxes = treemap(
    fields.map((field) => field.us),
    inner,
  );
  const label = head > 0 ? textMark(box.x + GAP, box.y + 14.5, said!, { kind: "ink bold" }) : "";
  return label + fields.map((field, i) => fieldMarks(field, boxes[i]!, name, whole)).join("");
}

function fieldMarks({ ops, provider, ids, count, us }: Field, box: Box, component: string, whole: number): string {
  const times = count > 1 ? ` ×${count}` : "";
  const share = `${showMs(us)} a picture, ${((100 * us) / whole).toFixed(1)} %`;
  const title = `${component}: ${ops}${times}\n${provider} ${[...ids].join(", ")}\n${share}`;
  const room = box.width - 10;
  const lines = [
    fitting([`${ops}${times}`, ops, firstOf(ops)], room, 12),
    fitting([`${provider}, ${showMs(us)}`, provider, showMs(us)], room, 11),
  ];
  const texts = lines.flatMap((line, i) =>
    line === undefined || box.height < LEAST_HEIGHT + i * 14
      ? []
      : [textMark(box.x + 5, box.y + 14 + i * 14, line, { size: 12 - i, kind: "white" })],
  );
  return `<g>${boxMark(box, `${providerClass(provider)} edge`, title)}${texts.join("")}</g>`;
}

/** "linear…" of a chain. */
function firstOf(ops: string): string {
  const [first, ...others] = ops.split(" + ");
  return others.length > 0 ? `${first}…` : first!;
}

const showMs = (us: number): string => `${(us / MS).toFixed(us < 10 * MS ? 2 : us < 100 * MS ? 1 : 0)} ms`;

/** The first text that fits. */
const fitting = (texts: readonly string[], width: number, size: number): string | undefined =>
  texts.find((text) => textWidth(text, size) <= width);

/** Share of a picture's time by provider, largest first. */
export function sharesOf(components: readonly ChosenComponent[]): readonly (readonly [string, number])[] {
  const us = new Map<string, number>();
  for (const { parts, runs } of components)
    for (const { provider, us: took } of parts) us.set(provider, (us.get(provider) ?? 0) + runs * took);
  const whole = [...us.values()].reduce((sum, one) => sum + one, 0);
  return [...us].map(([name, one]) => [name, one / whole] as const).toSorted(([, a], [, b]) => b - a);
}

/** "tile computes 81 % of the time, onnxruntime 12 %, onednn 7 %." */
export const winnersFinding = (components: readonly ChosenComponent[]): string =>
  sharesOf(components)
    .map(([name, share], i) => `${name} ${i === 0 ? "does " : ""}${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`)
    .join(", ");

/** Every component, those too small for words on the map as well. */
export const winnersTimes = (components: readonly ChosenComponent[]): string =>
  components.map((one) => `${escapeXml(nameOf(one))} ${showMs(pictureUs(one))}`).join(", ");

/** Every component's run by itself. */
export const runTimes = (components: readonly ChosenComponent[]): string =>
  components.map(({ name, us }) => `${escapeXml(name)} ${showMs(us)}`).join(", ");

export const winnersKey = (components: readonly ChosenComponent[]): string =>
  `<p class="key">${sharesOf(components)
    .map(([name]) => `<span><i class="${providerClass(name)}"></i>${escapeXml(name)}</span>`)
    .join("")}<span>area: time in a picture</span></p>`;
