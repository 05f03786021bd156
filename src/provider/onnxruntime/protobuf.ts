// The few parts of the protobuf wire format that an ONNX model needs: varints, lengths, packed numbers.

/** Collects the fields of one message. Field numbers are the .proto file's. */
export class Message {
  readonly #parts: Uint8Array[] = [];
  #length = 0;

  /** int32, int64, enum, bool: a varint; negative numbers take ten bytes as the format demands. */
  int(field: number, value: number | bigint): this {
    return this.#push(varint(BigInt(field) << 3n), varint(BigInt(value)));
  }

  /** 32-bit float. */
  float(field: number, value: number): this {
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setFloat32(0, value, true);
    return this.#push(varint((BigInt(field) << 3n) | 5n), bytes);
  }

  string(field: number, value: string): this {
    return this.bytes(field, new TextEncoder().encode(value));
  }

  bytes(field: number, value: Uint8Array): this {
    return this.#push(varint((BigInt(field) << 3n) | 2n), varint(BigInt(value.length)), value);
  }

  message(field: number, value: Message): this {
    return this.bytes(field, value.finish());
  }

  /** Repeated int64, packed. */
  ints(field: number, values: readonly (number | bigint)[]): this {
    return this.bytes(field, concat(values.map((value) => varint(BigInt(value)))));
  }

  finish(): Uint8Array {
    return concat(this.#parts, this.#length);
  }

  #push(...parts: readonly Uint8Array[]): this {
    for (const part of parts) {
      this.#parts.push(part);
      this.#length += part.length;
    }
    return this;
  }
}

/** Base 128, least significant group first; negative numbers as 64-bit two's complement. */
export function varint(value: bigint): Uint8Array {
  let rest = BigInt.asUintN(64, value);
  const out: number[] = [];
  do {
    const low = Number(rest & 0x7fn);
    rest >>= 7n;
    out.push(rest === 0n ? low : low | 0x80);
  } while (rest !== 0n);
  return Uint8Array.from(out);
}

function concat(parts: readonly Uint8Array[], length = parts.reduce((sum, part) => sum + part.length, 0)): Uint8Array {
  const out = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
