// A bundle opened: a model's folder whose plans, code and weights are made already, for one kind of machine. Nothing is
// compiled, measured or written.
import { join } from "node:path";
import koffi from "koffi";
import type { CompiledComponent, Component } from "../../compile/component.js";
import type { Machine } from "../../compile/machine.js";
import { dtypeBytes } from "../../core/dtype.js";
import { existsSync } from "node:fs";
import { TroupeError } from "../../core/error.js";
import { sizeOf } from "../../core/shape.js";
import { setNativeThreads } from "../../core/debug.js";
import { takeCodeFrom } from "../../device/cpu/compile.js";
import { cpuTarget } from "../../device/cpu/target.js";
import { verifyGraph } from "../../graph/verify.js";
import { graphHash } from "../../plan/assemble.js";
import { openPlan, targetMisfits } from "../../plan/store.js";
import { PROVIDERS, type ProviderSpec } from "../../provider/open.js";
import { rewriteGraph } from "../../rewrite/passes.js";
import { KeptFile, type KeptWeights } from "../../session/kept-weights.js";
import { missingTensor, type WeightStore } from "../../weights/store.js";
import { BUNDLE_FILE, CODE_FOLDER, PLANS_FOLDER, readBundle, unusable, WEIGHTS_FILE, type BundleForm } from "./bundle-form.js"; // prettier-ignore
import type { ImageShape } from "./components.js";

export interface Bundle {
  readonly shape: ImageShape;
  readonly threads: number;
  readonly specs: readonly ProviderSpec[];
  readonly weights: KeptWeights;
  /** The tensors that the checkpoint had, by component folder; their bytes are not here. */
  store(component: string): WeightStore;
  /** The components with the bundle's plans; throws TroupeError("plan") for another shape or machine. */
  compiled(
    machine: Machine,
    components: readonly Component[],
    shape: ImageShape,
  ): Promise<readonly CompiledComponent[]>;
  close(): Promise<void>;
}

export const isBundle = (folder: string): boolean => existsSync(join(folder, BUNDLE_FILE));

/** Throws TroupeError("plan") with the reason why the bundle cannot be used here. */
export async function openBundle(folder: string): Promise<Bundle> {
  const form = await readBundle(folder);
  const { shape, target, providers, compiler, libraries } = form;
  const { threads } = target;
  const planFile = (name: string): string => join(folder, PLANS_FOLDER, `${name}.json`);
  // Code for another CPU must not even be loaded.
  const [misfit] = targetMisfits(form, cpuTarget(threads));
  if (misfit !== undefined) throw unusable(folder, misfit);
  const code = join(folder, CODE_FOLDER);
  const release = compiler ? takeCodeFrom({ folder: code, compiler }) : () => {};
  setNativeThreads(threads); // which OpenMP reads once, when it is loaded
  for (const name of libraries) koffi.load(join(code, name)); // code that asks for it by name finds it loaded
  const weights = await KeptFile.open(join(folder, WEIGHTS_FILE), form.weights);
  return {
    shape,
    threads,
    specs: PROVIDERS.filter(({ name }) => providers.includes(name)),
    weights,
    store: (component) => headerStore(folder, component, form),
    compiled: async ({ device, versions }, components, wanted) => {
      expectShape(folder, shape, wanted);
      const compiled: CompiledComponent[] = [];
      for (const component of components) {
        const graph = rewriteGraph(verifyGraph(component.graph));
        const context = { graphHash: graphHash(graph), target: device.target, versions };
        const plan = await openPlan(planFile(component.name), context);
        compiled.push({ component, graph, plan, origin: "bundle", records: [], standings: [] });
      }
      return compiled;
    },
    close: async () => {
      release();
      await weights.close();
    },
  };
}

function expectShape(folder: string, made: ImageShape, wanted: ImageShape): void {
  const shown = ({ size, steps, dtype }: ImageShape): string =>
    `${size.width}x${size.height}, ${steps} steps, ${dtype}`;
  if (shown(made) !== shown(wanted))
    throw unusable(folder, `it was made for ${shown(made)}, asked for are ${shown(wanted)}`);
}

/** Tensors by name and type alone. */
function headerStore(folder: string, component: string, { tensors }: BundleForm): WeightStore {
  const known = tensors[component] ?? {};
  const source = join(folder, component);
  const store: WeightStore = {
    source,
    names: () => Object.keys(known),
    has: (name) => Object.hasOwn(known, name),
    get: (name) => {
      if (!Object.hasOwn(known, name)) throw missingTensor(store, name);
      const { dtype, shape } = known[name]!;
      return { dtype, shape, bytes: sizeOf(shape) * dtypeBytes(dtype) };
    },
    read: async (name) => {
      throw new TroupeError("plan", `${source} has ${name} only in the form that the bundle's plan reads`, {
        advice: "Use the model's own folder.",
      });
    },
    close: async () => {},
  };
  return store;
}
