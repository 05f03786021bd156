// The header of a safetensors file: parsed and checked before a byte of data is believed.
// Format: 8 bytes little-endian length N, N bytes of JSON, then the tensors without holes.
import type { DType } from "../core/dtype.js";
import { TroupeError } from "../core/error.js";
import { printable } from "../core/printable.js";
import type { Shape } from "../core/shape.js";
import { structureProblem } from "./structure.js";

/** Bits of every dtype name the format knows, and ours where we can read it. */
const FORMATS: Readonly<Record<string, { readonly bits: number; readonly dtype?: DType }>> = {
  F64: { bits: 64, dtype: "f64" }, F32: { bits: 32, dtype: "f32" }, F16: { bits: 16, dtype: "f16" },
  BF16: { bits: 16, dtype: "bf16" }, F8_E4M3: { bits: 8, dtype: "f8e4m3" }, I64: { bits: 64, dtype: "i64" },
  I32: { bits: 32, dtype: "i32" }, I8: { bits: 8, dtype: "i8" }, U8: { bits: 8, dtype: "u8" },
  BOOL: { bits: 8, dtype: "bool" }, F8_E5M2: { bits: 8 }, F8_E8M0: { bits: 8 }, F8_E4M3FNUZ: { bits: 8 },
  F8_E5M2FNUZ: { bits: 8 }, I16: { bits: 16 }, U16: { bits: 16 }, U32: { bits: 32 }, U64: { bits: 64 },
  C64: { bits: 64 }, F6_E2M3: { bits: 6 }, F6_E3M2: { bits: 6 }, F4: { bits: 4 },
}; // prettier-ignore

export const MAX_HEADER_BYTES = 100_000_000;

export interface HeaderEntry {
  /** The format's own name of the dtype. */
  readonly format: string;
  /** Undefined where the format knows a dtype that we do not compute with. */
  readonly dtype: DType | undefined;
  readonly shape: Shape;
  /** Byte offset from the start of the file. */
  readonly offset: number;
  readonly bytes: number;
}

export interface Header {
  readonly entries: ReadonlyMap<string, HeaderEntry>;
  readonly metadata: Readonly<Record<string, string>>;
}

/** The name the format gives to one of our dtypes. */
export const formatOf = (dtype: DType): string => Object.entries(FORMATS).find(([, f]) => f.dtype === dtype)![0];

/** Length of the JSON part from a file's first 8 bytes, checked against the file's size. */
export function headerBytes(first: Uint8Array, fileBytes: number, file: string): number {
  if (fileBytes < 8 || first.byteLength < 8) fail(file, `is ${fileBytes} bytes long, too short for a header`);
  const length = Number(new DataView(first.buffer, first.byteOffset).getBigUint64(0, true));
  if (length > MAX_HEADER_BYTES) fail(file, `claims a header of ${length} bytes, more than ${MAX_HEADER_BYTES}`);
  if (8 + length > fileBytes) fail(file, `ends inside its header (${fileBytes} bytes, header ${length})`);
  return length;
}

/** Parses the JSON part. Throws TroupeError("weights") for anything but a complete, exact description of the file. */
export function parseHeader(json: Uint8Array, fileBytes: number, file: string): Header {
  if (json[0] !== 0x7b) fail(file, "does not begin with a JSON object");
  const problem = structureProblem(json);
  if (problem !== undefined) fail(file, problem);
  const text = decodeUtf8(json, file);
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (cause) {
    fail(file, "has a header that is not JSON", cause);
  }
  const start = 8 + json.byteLength;
  const entries = new Map<string, HeaderEntry>();
  let metadata: Readonly<Record<string, string>> = {};
  for (const [name, value] of Object.entries(parsed as object)) {
    if (name === "__metadata__") metadata = parseMetadata(value, file);
    else entries.set(name, parseEntry(name, value, start, file));
  }
  checkCover(entries, start, fileBytes, file);
  return { entries, metadata };
}

function decodeUtf8(bytes: Uint8Array, file: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    return fail(file, "has a header that is not UTF-8", cause);
  }
}

function parseMetadata(value: unknown, file: string): Readonly<Record<string, string>> {
  const strings = value !== null && typeof value === "object" && !Array.isArray(value);
  if (!strings || Object.values(value).some((v) => typeof v !== "string")) {
    fail(file, "has __metadata__ that is not a map of strings");
  }
  return value as Record<string, string>;
}

const isCount = (x: unknown): x is number => Number.isSafeInteger(x) && (x as number) >= 0 && !Object.is(x, -0);

/** A value of the JSON in a message; objects of a hostile header may not even have a usable toString. */
function quoted(value: unknown): string {
  if (typeof value === "string") return `"${printable(value)}"`;
  return typeof value === "object" && value !== null ? "that is no string" : String(value);
}

function parseEntry(key: string, value: unknown, start: number, file: string): HeaderEntry {
  const name = printable(key);
  if (value === null || typeof value !== "object" || Array.isArray(value)) fail(file, `gives ${name} no description`);
  const { dtype, shape, data_offsets: offsets } = value as Record<string, unknown>;
  const format = typeof dtype === "string" && Object.hasOwn(FORMATS, dtype) ? FORMATS[dtype] : undefined;
  if (!format) fail(file, `gives ${name} the unknown dtype ${quoted(dtype)}`);
  if (!Array.isArray(shape) || !shape.every(isCount)) fail(file, `gives ${name} a shape that is not a list of sizes`);
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isCount)) {
    fail(file, `gives ${name} data_offsets that are not two byte counts`);
  }
  const [begin, end] = offsets as [number, number];
  const bits = shape.reduce((product, dim) => product * dim, 1) * format.bits;
  if (!Number.isSafeInteger(bits) || bits % 8 !== 0 || end - begin !== bits / 8) {
    const stored = `${dtype as string} [${printable(shape.join(", "))}]`;
    fail(file, `gives ${name} ${end - begin} bytes; ${stored} needs ${bits / 8}`);
  }
  return { format: dtype as string, dtype: format.dtype, shape, offset: start + begin, bytes: end - begin };
}

/** The tensors must lie end to end from the first data byte to the last: no holes, no overlap, nothing after. */
function checkCover(entries: ReadonlyMap<string, HeaderEntry>, start: number, fileBytes: number, file: string): void {
  const order = [...entries].sort(([, a], [, b]) => a.offset - b.offset || a.bytes - b.bytes);
  let next = start;
  for (const [name, { offset, bytes }] of order) {
    if (offset < next) fail(file, `has tensors that overlap at ${printable(name)}`);
    if (offset > next) fail(file, `has a hole of ${offset - next} bytes before ${printable(name)}`);
    next = offset + bytes;
  }
  if (next > fileBytes) fail(file, `is truncated: ${fileBytes} bytes, its tensors end at ${next}`);
  if (next < fileBytes) fail(file, `has ${fileBytes - next} bytes after its last tensor`);
}

function fail(file: string, what: string, cause?: unknown): never {
  throw new TroupeError("weights", `${file} ${what}`, {
    advice: "the file is damaged or was not fully downloaded; fetch it again",
    ...(cause === undefined ? {} : { cause }),
    details: { file },
  });
}
