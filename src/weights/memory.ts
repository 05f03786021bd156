// Tensors that lie in memory: what tests and computed inputs use as a store.
import { dtypeBytes, writeElement, type DType } from "../core/dtype.js";
import { TroupeError } from "../core/error.js";
import { showShape, sizeOf, type Shape } from "../core/shape.js";
import { expectRoom, missingTensor, type TensorInfo, type WeightStore } from "./store.js";

export interface Tensor {
  readonly dtype: DType;
  readonly shape: Shape;
  /** Row-major, little-endian. */
  readonly data: Uint8Array;
}

export type Tensors = Readonly<Record<string, Tensor>>;

/** A tensor of `dtype` from numbers, rounded. */
export function tensorOf(dtype: DType, shape: Shape, values: ArrayLike<number>): Tensor {
  if (values.length !== sizeOf(shape)) {
    throw new TroupeError("internal", `${values.length} values for a tensor ${showShape(shape)}`);
  }
  const data = new Uint8Array(values.length * dtypeBytes(dtype));
  const view = new DataView(data.buffer);
  for (let i = 0; i < values.length; i++) writeElement(view, dtype, i, values[i]!);
  return { dtype, shape, data };
}

export function memoryStore(tensors: Tensors, source = "memory"): WeightStore {
  const map = new Map(Object.entries(tensors));
  const find = (name: string): Tensor => {
    const tensor = map.get(name);
    if (!tensor) throw missingTensor(store, name);
    return tensor;
  };
  const store: WeightStore = {
    source,
    names: () => [...map.keys()],
    has: (name) => map.has(name),
    get: (name): TensorInfo => {
      const { dtype, shape, data } = find(name);
      return { dtype, shape, bytes: data.byteLength };
    },
    read: async (name, into, options) => {
      expectRoom(name, store.get(name), into, options);
      const from = options?.from ?? 0;
      into.set(find(name).data.subarray(from, from + into.byteLength));
    },
    close: async () => {},
  };
  return store;
}
