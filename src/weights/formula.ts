// Weights from a closed formula of name and index: reference results can be checked without weight files, and a model
// can be timed from its configs alone.
import { dtypeBytes, type DType } from "../core/dtype.js";
import { sizeOf, type Shape } from "../core/shape.js";
import { tensorOf } from "./memory.js";
import { expectRoom, missingTensor, type WeightStore } from "./store.js";

/** FNV-1a of the UTF-8 bytes, 32 bits. */
export function fnv1a(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}

/** A number in [-1, 1) that looks random, for element `index` of the tensor whose name hashes to `hash`. */
export function unitAt(hash: number, index: number): number {
  let x = (hash + Math.imul(index, 0x9e3779b9)) >>> 0;
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b) >>> 0;
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35) >>> 0;
  return (2 * ((x ^ (x >>> 16)) >>> 0)) / 2 ** 32 - 1;
}

/** Scale and offset by rank and name: norm weights near 1, biases near 0, matrices of unit gain. */
function formOf(name: string, shape: Shape): { scale: number; offset: number } {
  if (name.startsWith("in.")) return { scale: Math.sqrt(3), offset: 0 };
  if (shape.length === 1) return name.endsWith(".weight") ? { scale: 0.2, offset: 1 } : { scale: 0.1, offset: 0 };
  return { scale: Math.sqrt(3 / sizeOf(shape.slice(1))), offset: 0 };
}

/** All values of the tensor `name`; names that begin with "in." are inputs of unit variance. */
export function formulaValues(name: string, shape: Shape): Float32Array {
  const hash = fnv1a(name);
  const { scale, offset } = formOf(name, shape);
  return Float32Array.from({ length: sizeOf(shape) }, (_, i) => offset + scale * unitAt(hash, i));
}

/** A store that computes each of `shapes` when it is read. */
export function formulaStore(shapes: Readonly<Record<string, Shape>>, dtype: DType = "f32"): WeightStore {
  const map = new Map(Object.entries(shapes));
  const find = (name: string): Shape => {
    const shape = map.get(name);
    if (!shape) throw missingTensor(store, name);
    return shape;
  };
  const store: WeightStore = {
    source: "formula",
    names: () => [...map.keys()],
    has: (name) => map.has(name),
    get: (name) => ({ dtype, shape: find(name), bytes: sizeOf(find(name)) * dtypeBytes(dtype) }),
    read: async (name, into, options) => {
      expectRoom(name, store.get(name), into, options);
      const from = options?.from ?? 0;
      into.set(
        tensorOf(dtype, find(name), formulaValues(name, find(name))).data.subarray(from, from + into.byteLength),
      );
    },
    close: async () => {},
  };
  return store;
}
