// Many small native things that live and die together: C strings, pointer tables, structs, handles with destructors.
import { NativeMemory } from "./memory.js";

/** One member of a C struct, laid out with natural alignment. */
export type Field =
  | { readonly i32: number }
  | { readonly i64: number | bigint }
  | { readonly f32: number }
  | { readonly pointer: bigint };

/** A word that a C function writes through: `T *out`. */
export interface Cell {
  readonly address: bigint;
  /** What is in it now. */
  get(): bigint;
}

const CHUNK_BYTES = 16384;

/** Hands out small native memory and runs destructors, last first, when it is disposed. */
export class NativeScope implements Disposable {
  readonly #chunks: NativeMemory[] = [];
  readonly #ends: (() => void)[] = [];
  #used = CHUNK_BYTES;

  /** Zeroed bytes, aligned to 16. */
  bytes(count: number): { readonly address: bigint; readonly view: DataView } {
    if (count > CHUNK_BYTES / 4) return this.#take(this.#chunk(count), 0, count);
    if (this.#used + count > CHUNK_BYTES) {
      this.#chunks.push(this.#chunk(CHUNK_BYTES));
      this.#used = 0;
    }
    const offset = this.#used;
    this.#used += Math.ceil(count / 16) * 16;
    return this.#take(this.#chunks.at(-1)!, offset, count);
  }

  cString(text: string): bigint {
    const encoded = new TextEncoder().encode(`${text}\0`);
    const { address, view } = this.bytes(encoded.length);
    new Uint8Array(view.buffer, view.byteOffset, view.byteLength).set(encoded);
    return address;
  }

  /** A table of 64-bit words: addresses, or int64 values. */
  words(values: readonly (number | bigint)[]): bigint {
    const { address, view } = this.bytes(Math.max(8, values.length * 8));
    values.forEach((value, i) => view.setBigInt64(i * 8, BigInt.asIntN(64, BigInt(value)), true));
    return address;
  }

  strings(texts: readonly string[]): bigint {
    return this.words(texts.map((text) => this.cString(text)));
  }

  floats(values: readonly number[]): bigint {
    const { address, view } = this.bytes(Math.max(4, values.length * 4));
    values.forEach((value, i) => view.setFloat32(i * 4, value, true));
    return address;
  }

  ints(values: readonly number[]): bigint {
    const { address, view } = this.bytes(Math.max(4, values.length * 4));
    values.forEach((value, i) => view.setInt32(i * 4, value, true));
    return address;
  }

  cell(): Cell {
    const { address, view } = this.bytes(8);
    return { address, get: () => view.getBigUint64(0, true) };
  }

  /** An array of structs, each with natural alignment and its size rounded up to the largest member's. */
  structs(rows: readonly (readonly Field[])[]): bigint {
    const layouts = rows.map(layout);
    const { address, view } = this.bytes(
      Math.max(
        8,
        layouts.reduce((sum, { bytes }) => sum + bytes, 0),
      ),
    );
    let base = 0;
    rows.forEach((row, r) => {
      row.forEach((field, i) => write(view, base + layouts[r]!.offsets[i]!, field));
      base += layouts[r]!.bytes;
    });
    return address;
  }

  /** Runs `end` at disposal, before what was taken earlier is gone. */
  defer(end: () => void): void {
    this.#ends.push(end);
  }

  /** Keeps `thing` as long as the scope lives, and disposes of it with the scope. */
  own<T extends Disposable>(thing: T): T {
    this.defer(() => thing[Symbol.dispose]());
    return thing;
  }

  dispose(): void {
    while (this.#ends.length > 0) this.#ends.pop()!();
    this.#used = CHUNK_BYTES;
    this.#chunks.length = 0;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #chunk(bytes: number): NativeMemory {
    return this.own(new NativeMemory(bytes));
  }

  #take(memory: NativeMemory, offset: number, count: number): { readonly address: bigint; readonly view: DataView } {
    return { address: memory.address + BigInt(offset), view: new DataView(memory.view(offset, count)) };
  }
}

const sizeOfField = (field: Field): 4 | 8 => ("i32" in field || "f32" in field ? 4 : 8);

function layout(row: readonly Field[]): { readonly offsets: readonly number[]; readonly bytes: number } {
  let at = 0;
  const offsets = row.map((field) => {
    const size = sizeOfField(field);
    const offset = Math.ceil(at / size) * size;
    at = offset + size;
    return offset;
  });
  const widest = Math.max(...row.map(sizeOfField));
  return { offsets, bytes: Math.ceil(at / widest) * widest };
}

function write(view: DataView, offset: number, field: Field): void {
  if ("i32" in field) view.setInt32(offset, field.i32, true);
  else if ("f32" in field) view.setFloat32(offset, field.f32, true);
  else if ("i64" in field) view.setBigInt64(offset, BigInt(field.i64), true);
  else view.setBigUint64(offset, field.pointer, true);
}
