// The same tensors under the names a model asks for: prefixes, old spellings, extra unit dims.
import { TroupeError } from "../core/error.js";
import { showShape, sizeOf, type Shape } from "../core/shape.js";
import { missingTensor, type ReadOptions, type TensorInfo, type WeightStore } from "./store.js";

/** A stored tensor under another name, read as another shape of the same size where `shape` says so. */
export interface Renamed {
  readonly stored: string;
  readonly shape?: Shape;
}

/** A view of `store` that knows only the keys of `names`. Closing it closes the store. */
export function renamed(store: WeightStore, names: ReadonlyMap<string, Renamed>): WeightStore {
  const find = (name: string): Renamed => {
    const found = names.get(name);
    if (!found) throw missingTensor(view, name);
    return found;
  };
  const view: WeightStore = {
    source: store.source,
    names: () => [...names.keys()],
    has: (name) => names.has(name),
    get: (name): TensorInfo => {
      const { stored, shape } = find(name);
      const info = store.get(stored);
      if (shape && sizeOf(shape) !== sizeOf(info.shape)) {
        throw new TroupeError("internal", `${stored} ${showShape(info.shape)} cannot be read as ${showShape(shape)}`);
      }
      return shape ? { ...info, shape } : info;
    },
    read: (name, into, options?: ReadOptions) => store.read(find(name).stored, into, options),
    close: () => store.close(),
  };
  return view;
}
