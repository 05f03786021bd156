// A safetensors file on disk: the header is read at once, tensors only when asked for, straight into the caller's memory.
import { open, stat, type FileHandle } from "node:fs/promises";
import { messageOf, TroupeError } from "../core/error.js";
import { headerBytes, parseHeader, type Header, type HeaderEntry } from "./header.js";
import { expectRoom, missingTensor, type ReadOptions, type TensorInfo, type WeightStore } from "./store.js";

/** One read call; also how soon a cancel is seen. */
const CHUNK_BYTES = 64 * 2 ** 20;

export class SafetensorsFile implements WeightStore {
  readonly source: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly #entries: ReadonlyMap<string, HeaderEntry>;
  readonly #handle: FileHandle;

  private constructor(path: string, handle: FileHandle, header: Header) {
    this.source = path;
    this.metadata = header.metadata;
    this.#entries = header.entries;
    this.#handle = handle;
  }

  /** Opens and checks a file. Errors: TroupeError("io") when it cannot be read, ("weights") when it is malformed. */
  static async open(path: string): Promise<SafetensorsFile> {
    let handle: FileHandle;
    try {
      // Opening a pipe would wait for its other end.
      if (!(await stat(path)).isFile()) throw new Error("it is no regular file");
      handle = await open(path, "r");
    } catch (cause) {
      throw new TroupeError("io", `cannot open ${path}: ${messageOf(cause)}`, {
        advice: "check the path and its permissions",
        cause,
      });
    }
    try {
      const { size } = await handle.stat();
      const first = new Uint8Array(8);
      if (size >= 8) await fill(handle, first, 0, path, {});
      const json = new Uint8Array(headerBytes(first, size, path));
      await fill(handle, json, 8, path, {});
      return new SafetensorsFile(path, handle, parseHeader(json, size, path));
    } catch (error) {
      await handle.close();
      throw error instanceof TroupeError ? error : readFailure(path, error);
    }
  }

  names(): readonly string[] {
    return [...this.#entries.keys()];
  }

  has(name: string): boolean {
    return this.#entries.has(name);
  }

  get(name: string): TensorInfo {
    const { dtype, format, shape, bytes } = this.#entry(name);
    if (dtype === undefined) {
      throw new TroupeError("weights", `${name} in ${this.source} is stored as ${format}, which is not supported`, {
        advice: "use a variant of the checkpoint in F32, F16 or BF16",
        details: { name, format },
      });
    }
    return { dtype, shape, bytes };
  }

  async read(name: string, into: Uint8Array, options: ReadOptions = {}): Promise<void> {
    expectRoom(name, this.get(name), into, options);
    await fill(this.#handle, into, this.#entry(name).offset + (options.from ?? 0), this.source, options);
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #entry(name: string): HeaderEntry {
    const entry = this.#entries.get(name);
    if (!entry) throw missingTensor(this, name);
    return entry;
  }
}

async function fill(
  handle: FileHandle,
  into: Uint8Array,
  position: number,
  path: string,
  { signal }: ReadOptions,
): Promise<void> {
  for (let done = 0; done < into.byteLength;) {
    if (signal?.aborted) throw new TroupeError("cancelled", `reading ${path} was cancelled`, { cause: signal.reason });
    const length = Math.min(CHUNK_BYTES, into.byteLength - done);
    const { bytesRead } = await handle.read(into, done, length, position + done).catch((cause: unknown) => {
      throw readFailure(path, cause);
    });
    if (bytesRead === 0) throw readFailure(path, new Error("it became shorter while being read"));
    done += bytesRead;
  }
}

const readFailure = (path: string, cause: unknown): TroupeError =>
  new TroupeError("io", `cannot read ${path}: ${messageOf(cause)}`, { advice: "check the disk and the file", cause });
