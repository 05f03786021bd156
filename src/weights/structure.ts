// The structure of a header's JSON, looked at byte by byte before JSON.parse builds anything from it: how deep it nests,
// how long its lists are, which keys come twice. A header that is out of bounds costs no memory and no stack.
import { printable } from "../core/printable.js";

/** Objects in the outermost object hold lists of numbers; nothing is deeper. */
const MOST_DEPTH = 3;
/** Dims of a tensor; the format sets no limit, the largest in use is 6. */
const MOST_ITEMS = 64;
const MOST_MEMBERS = 1_000_000;

const [QUOTE, BACKSLASH, COMMA, COLON] = [0x22, 0x5c, 0x2c, 0x3a];
const [OPEN_OBJECT, OPEN_LIST, CLOSE_OBJECT, CLOSE_LIST] = [0x7b, 0x5b, 0x7d, 0x5d];

/** What is out of bounds in `json`, "has …" or "names …"; undefined where JSON.parse may have it. Throws nothing. */
export function structureProblem(json: Uint8Array): string | undefined {
  const keys = new Set<string>();
  /** Keys of the object at depth 2, which are few where the header is sound. */
  let inner = new Set<string>();
  const items: number[] = [0, 0, 0, 0];
  let depth = 0;
  let string: { from: number; to: number } | undefined;
  for (let at = 0; at < json.byteLength; at++) {
    const byte = json[at]!;
    if (byte === QUOTE) {
      const to = endOfString(json, at);
      if (to === undefined) return "has a header that is not JSON: a string without an end";
      string = { from: at, to };
      at = to - 1;
    } else if (byte === OPEN_OBJECT || byte === OPEN_LIST) {
      if (++depth > MOST_DEPTH) return `has a header that nests deeper than ${MOST_DEPTH}`;
      items[depth] = 0;
      if (depth === 2) inner = new Set();
    } else if (byte === CLOSE_OBJECT || byte === CLOSE_LIST) depth = Math.max(0, depth - 1);
    else if (byte === COMMA && ++items[depth]! >= (depth === MOST_DEPTH ? MOST_ITEMS : MOST_MEMBERS))
      return `has a header with a list of more than ${depth === MOST_DEPTH ? MOST_ITEMS : MOST_MEMBERS} items`;
    else if (byte === COLON && string && (depth === 1 || depth === 2)) {
      const known = depth === 1 ? keys : inner;
      const key = keyOf(json.subarray(string.from, string.to));
      if (known.has(key)) return `names ${printable(key)} twice`;
      known.add(key);
    }
  }
  return undefined;
}

/** The byte after the closing quote of the string that begins at `from`; undefined where it has none. */
function endOfString(json: Uint8Array, from: number): number | undefined {
  for (let at = from + 1; at < json.byteLength; at++)
    if (json[at] === BACKSLASH) at++;
    else if (json[at] === QUOTE) return at + 1;
  return undefined;
}

/** A key without its escapes, so that "a" and "\u0061" are one; as it is written where the escapes are wrong. */
function keyOf(quoted: Uint8Array): string {
  const text = Buffer.from(quoted.buffer, quoted.byteOffset, quoted.byteLength).toString("utf8");
  if (!text.includes("\\")) return text.slice(1, -1);
  try {
    return JSON.parse(text) as string;
  } catch {
    return text;
  }
}
