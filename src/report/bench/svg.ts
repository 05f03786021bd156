// The few marks that pictures are made of. Everything that is drawn bears a class; style.ts gives it a colour.

export const escapeXml = (text: string): string => text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);

export interface Body {
  readonly width: number;
  readonly height: number;
  readonly marks: string;
}

export interface TextOptions {
  readonly size?: number;
  /** "ink", "soft" or "white", and "bold". */
  readonly kind?: string;
  readonly anchor?: "start" | "middle" | "end";
}

const one = (x: number): string => String(Math.round(x * 10) / 10);

export function textMark(x: number, y: number, text: string, options: TextOptions = {}): string {
  const { size = 13, kind = "ink", anchor = "start" } = options;
  const anchored = anchor === "start" ? "" : ` text-anchor="${anchor}"`;
  return `<text x="${one(x)}" y="${one(y)}" font-size="${size}" class="${kind}"${anchored}>${escapeXml(text)}</text>`;
}

export interface Box {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/** `title` is shown where a pointer rests on it. */
export const boxMark = ({ x, y, width, height }: Box, kind: string, title = "", radius = 0): string =>
  `<rect x="${one(x)}" y="${one(y)}" width="${one(Math.max(0, width))}" height="${one(Math.max(0, height))}" class="${kind}"` +
  `${radius > 0 ? ` rx="${radius}"` : ""}${title === "" ? "/>" : `><title>${escapeXml(title)}</title></rect>`}`;

export const lineMark = (x1: number, y1: number, x2: number, y2: number, kind: string, width = 1): string =>
  `<line x1="${one(x1)}" y1="${one(y1)}" x2="${one(x2)}" y2="${one(y2)}" class="${kind}" stroke-width="${width}"/>`;

/** Inside a page, in words for those who do not see it. `shown` is the class that tells when: "wide", "narrow". */
export const inlineSvg = ({ width, height, marks }: Body, label: string, shown: string): string =>
  `<svg class="${shown}" viewBox="0 0 ${one(width)} ${one(height)}" role="img" aria-label="${escapeXml(label)}">${marks}</svg>`;

/** A file of its own with its style inside, on a ground. */
export const fileSvg = ({ width, height, marks }: Body, label: string, style: string): string =>
  `<svg xmlns="http://www.w3.org/2000/svg" width="${one(width)}" height="${one(height)}" viewBox="0 0 ${one(width)} ${one(height)}" role="img" aria-label="${escapeXml(label)}">
<style>${style}</style>
${boxMark({ x: 0, y: 0, width, height }, "ground")}
${marks}
</svg>
`;

/** The marks of a body, moved. */
export const moved = ({ marks }: Body, x: number, y: number): string =>
  `<g transform="translate(${one(x)} ${one(y)})">${marks}</g>`;

/** About what a letter takes of its font's size. */
const LETTER = 0.56;

export const textWidth = (text: string, size: number): number => text.length * size * LETTER;

/** Lines of whole words that fit a width. */
export function wrapped(text: string, width: number, size: number): readonly string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const last = lines.at(-1);
    if (last !== undefined && textWidth(`${last} ${word}`, size) <= width) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}

/** Round numbers from 0 up to `most`, a few of them. */
export function ticksTo(most: number): readonly number[] {
  const raw = most / 4;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((times) => times * power).find((candidate) => candidate >= raw)!;
  return Array.from({ length: Math.floor(most / step) + 1 }, (_, i) => i * step);
}
