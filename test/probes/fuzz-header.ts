// Mutations of a sound safetensors file: bytes changed, cut, doubled, and tokens of the header exchanged for hostile ones.
// Every mutation must be refused with a TroupeError or describe the file it is in exactly; quickly, and leaving nothing.
import { TroupeError } from "../../src/core/error.js";
import { headerBytes, parseHeader, type Header } from "../../src/weights/header.js";
import { tensorOf } from "../../src/weights/memory.js";
import { encodeHeader } from "../../src/weights/write.js";

const HOSTILE = [
  "{", "}", "[", "]", ",", ":", '"', "\\", "null", "true", "-1", "-0", "1e400", "0.5", "1e2", "9007199254740993", "\u0000",
  "18446744073709551616", '"__proto__"', '"constructor"', '"\\u0061"', '"F99"', '"BF16"', '"F4"', "[[[[", "{}", "[]", "[0]",
  '"__metadata__":{"a":1},', '"a.weight":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},', "[0,0,0]", '"\ud800"', "[".repeat(500),
] as const; // prettier-ignore

export interface FuzzReport {
  readonly mutations: number;
  readonly accepted: number;
  /** How many mutations met which refusal: the message without names and numbers. */
  readonly refusals: ReadonlyMap<string, number>;
  /** The longest that one mutation took. */
  readonly longestMs: number;
}

/** A source of numbers below a bound, the same for the same seed (mulberry32). */
function dice(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

/** Tries this many mutations; throws at the first that is answered by anything but a TroupeError or a wrong header. */
export function fuzzHeader(mutations: number, seed: number): FuzzReport {
  const roll = dice(seed);
  const sound = soundFile();
  const refusals = new Map<string, number>();
  let accepted = 0;
  let longestMs = 0;
  for (let n = 0; n < mutations; n++) {
    let bytes = sound;
    for (let times = 1 + roll(3); times > 0; times--) bytes = mutated(bytes, roll);
    const start = performance.now();
    try {
      expectExact(read(bytes), bytes.byteLength);
      accepted++;
    } catch (error) {
      if (!(error instanceof TroupeError) || error.code !== "weights" || !error.advice)
        throw new Error(`mutation ${n} of seed ${seed}: ${String(error)}\n${Buffer.from(bytes).toString("latin1")}`, { cause: error }); // prettier-ignore
      const kind = error.message.replace(/["[].*["\]]|\S*\d\S*/gs, "#").slice(0, 48);
      refusals.set(kind, (refusals.get(kind) ?? 0) + 1);
    }
    longestMs = Math.max(longestMs, performance.now() - start);
  }
  return { mutations, accepted, refusals, longestMs };
}

export function soundFile(): Uint8Array {
  const tensors = {
    "a.weight": tensorOf("f32", [2, 3], [1, 2, 3, 4, 5, 6]),
    "a.bias": tensorOf("bf16", [2], [1, 2]),
    scalar: tensorOf("f16", [], [1]),
    none: tensorOf("i8", [0, 7], []),
  };
  const header = encodeHeader(tensors, { format: "pt", note: 'with "quotes" and \\' });
  return Buffer.concat([header, ...Object.values(tensors).map(({ data }) => data)]);
}

function read(bytes: Uint8Array): Header {
  const length = headerBytes(bytes.subarray(0, 8), bytes.byteLength, "fuzzed");
  return parseHeader(bytes.subarray(8, 8 + length), bytes.byteLength, "fuzzed");
}

/** What is accepted must cover the file to its last byte. */
function expectExact(header: Header, fileBytes: number): void {
  let end = 0;
  for (const { offset, bytes, shape } of header.entries.values()) {
    if (offset + bytes > fileBytes || bytes < 0 || shape.some((dim) => !Number.isSafeInteger(dim) || dim < 0))
      throw new Error("a tensor outside the file was accepted");
    end = Math.max(end, offset + bytes);
  }
  if (header.entries.size > 0 && end !== fileBytes) throw new Error("bytes that belong to nothing were accepted");
}

function mutated(bytes: Uint8Array, roll: (below: number) => number): Uint8Array {
  const at = roll(bytes.byteLength + 1);
  const [before, after] = [bytes.subarray(0, at), bytes.subarray(at)];
  switch (roll(8)) {
    case 0: // one byte
      return spliced(before, [roll(256)], after.subarray(1));
    case 1: // one bit, mostly in the length and the header
      return spliced(before, [(after[0] ?? 0) ^ (1 << roll(8))], after.subarray(1));
    case 2: // cut
      return before;
    case 3: // a part taken out
      return spliced(before, [], after.subarray(roll(40)));
    case 4: // a part doubled
      return spliced(before, after.subarray(0, roll(120)), after);
    case 5: // a length that is a lie
      return spliced(lengthOf(roll), [], bytes.subarray(8));
    default: // a token in place of others, the length made right again
      return relengthed(spliced(before, Buffer.from(HOSTILE[roll(HOSTILE.length)]!), after.subarray(roll(12))), bytes);
  }
}

const spliced = (...parts: readonly ArrayLike<number>[]): Uint8Array =>
  Buffer.concat(parts.map((part) => Uint8Array.from(part)));

function lengthOf(roll: (below: number) => number): Uint8Array {
  const length = new Uint8Array(8);
  const values = [0n, 1n, BigInt(roll(400)), 2n ** 31n, 2n ** 32n, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n];
  new DataView(length.buffer).setBigUint64(0, values[roll(values.length)]!, true);
  return length;
}

/** The length field moved by as many bytes as the file grew, so that the header's own checks are reached. */
function relengthed(bytes: Uint8Array, from: Uint8Array): Uint8Array {
  if (bytes.byteLength < 8 || from.byteLength < 8) return bytes;
  const view = (all: Uint8Array): DataView => new DataView(all.buffer, all.byteOffset, 8);
  const length = view(from).getBigUint64(0, true) + BigInt(bytes.byteLength - from.byteLength);
  view(bytes).setBigUint64(0, BigInt.asUintN(64, length), true);
  return bytes;
}
