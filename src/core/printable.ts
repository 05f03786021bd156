// What messages are made of: text from outside, short, on one line, and nothing that a terminal would obey; sizes.

/** Control characters, line ends, and marks that turn the direction of what follows. */
const isObeyed = (code: number): boolean =>
  code < 0x20 || (code >= 0x7f && code < 0xa0) || (code >= 0x200b && code <= 0x200f) ||
  (code >= 0x2028 && code <= 0x202e) || (code >= 0x2060 && code <= 0x206f); // prettier-ignore

/** `text` with such characters written as \u and four hexadecimal digits. */
export const escaped = (text: string): string =>
  Array.from(text, (c) => (isObeyed(c.codePointAt(0)!) ? `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}` : c)).join(""); // prettier-ignore

/** The same, cut after `most` characters. */
export const printable = (text: string, most = 80): string => {
  // Twice as many units hold as many characters, whatever the text; the rest is never looked at.
  const points = Array.from(text.slice(0, 2 * most + 2));
  return escaped(points.length > most ? `${points.slice(0, most).join("")}…` : points.join(""));
};

/** "96 MB", "1.4 GB": powers of ten, as disks and downloads count. */
export function bytesText(bytes: number): string {
  const [unit, name] = bytes >= 999.5e6 ? [1e9, "GB"] : [1e6, "MB"];
  const value = bytes / unit;
  return `${value < 9.95 ? value.toFixed(1) : value.toFixed(0)} ${name}`;
}
