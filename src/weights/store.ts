// Where tensors come from: names, shapes, and bytes read into memory that the caller owns.
import { isFloat, readElement, type DType } from "../core/dtype.js";
import { TroupeError } from "../core/error.js";
import type { NormalNumbers } from "../core/philox.js";
import { showShape, sameShape, type Shape } from "../core/shape.js";

export interface TensorInfo {
  readonly dtype: DType;
  readonly shape: Shape;
  readonly bytes: number;
}

export interface ReadOptions {
  /** Byte of the tensor to begin at; then `into` may end before the tensor does. */
  readonly from?: number | undefined;
  /** Ends a long read between two chunks. */
  readonly signal?: AbortSignal | undefined;
}

/** Row-major little-endian tensors by name. Errors are TroupeError("weights") or ("io"), or ("cancelled"). */
export interface WeightStore {
  /** What the store is, for messages: a file, a folder, a formula. */
  readonly source: string;
  names(): readonly string[];
  has(name: string): boolean;
  get(name: string): TensorInfo;
  /** Fills `into`, which must have exactly the tensor's bytes unless `from` is given; no other copy is made. */
  read(name: string, into: Uint8Array, options?: ReadOptions): Promise<void>;
  /** What the tensor's elements are, where they are random numbers that a device can make itself. */
  normal?(name: string): NormalNumbers;
  close(): Promise<void>;
}

/** The error of a name that a store does not hold; names the nearest it does. */
export function missingTensor(store: Pick<WeightStore, "source" | "names">, name: string): TroupeError {
  const tail = name.split(".").slice(-2).join(".");
  const near = store.names().filter((other) => other.endsWith(tail)).slice(0, 3); // prettier-ignore
  return new TroupeError("weights", `${store.source} has no tensor ${name}`, {
    advice: near.length > 0 ? `it has ${near.join(", ")}` : "check that the file belongs to this config.json",
    details: { name, source: store.source },
  });
}

/** Throws unless `name` is there as a float tensor of this shape, as a model's graph declares it. */
export function expectTensor(store: WeightStore, name: string, shape: Shape): TensorInfo {
  const info = store.get(name);
  if (!sameShape(info.shape, shape) || !isFloat(info.dtype)) {
    throw new TroupeError(
      "weights",
      `${name} in ${store.source} is ${info.dtype} ${showShape(info.shape)}; the config asks for floats ${showShape(shape)}`,
      { advice: "the weight file and config.json belong to different models", details: { name, shape: info.shape } },
    );
  }
  return info;
}

/** Throws unless `into` has the tensor's bytes, or some of them from `from` on. */
export function expectRoom(name: string, info: TensorInfo, into: Uint8Array, { from }: ReadOptions = {}): void {
  const fits = from === undefined ? into.byteLength === info.bytes : from >= 0 && from + into.byteLength <= info.bytes;
  if (fits) return;
  const where = from === undefined ? "" : ` from byte ${from} on`;
  throw new TroupeError("internal", `${name} has ${info.bytes} bytes, the buffer given has ${into.byteLength}${where}`);
}

/** A tensor's values as numbers, whatever its dtype. For tests, reports and small inputs. */
export async function readNumbers(store: WeightStore, name: string): Promise<Float32Array> {
  const info = store.get(name);
  const raw = new Uint8Array(info.bytes);
  await store.read(name, raw);
  const view = new DataView(raw.buffer);
  const count = info.shape.reduce((product, dim) => product * dim, 1);
  return Float32Array.from({ length: count }, (_, i) => readElement(view, info.dtype, i));
}
