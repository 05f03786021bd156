// cuDNN as a provider: attention forward and convolutions with bias and residual, one candidate for every engine that the
// library's heuristic names and can build.
import { messageOf, TroupeError } from "../../core/error.js";
import { compileCudaAside } from "../../device/cuda/compile.js";
import type { CudaDevice } from "../../device/cuda/device.js";
import { cudaDevice, whyNoCudaDevice } from "../../device/cuda/target.js";
import type { Target } from "../../device/device.js";
import type { NodeId } from "../../graph/node.js";
import type { Region, Regions } from "../../graph/region.js";
import { chainPatterns } from "../native/chain.js";
import { GPU_FLOPS_PER_US, gpuUs } from "../native/gpu-model.js";
import { declared } from "../native/host-pack.js";
import { isCannot, type Candidate, type Cannot, type Choice, type Effort, type Kernel, type Provider, type ProviderFactory } from "../provider.js"; // prettier-ignore
import { formOf, type Form } from "./form.js";
import { BackendGraph } from "./graph.js";
import { PlanKernel, wideBytes } from "./kernel.js";
import { narrowText } from "./narrow.js";
import { openCudnn, type Cudnn } from "./library.js";

const NAME = "cudnn";
/** Raised when the same choice would run otherwise. */
const VERSION = "1";
const MOST: Readonly<Record<Effort, number>> = { none: 1, quick: 3, full: 8 };
/** Filters that a tile of an implicit product has at least, wanted or not. */
const LEAST_COLUMNS = 64;
/** Engines asked for a plan before a region is given up. */
const MOST_TRIES = 6;

class CudnnProvider implements Provider {
  readonly name = NAME;
  readonly version: string;
  readonly #library: Cudnn;
  readonly #device: CudaDevice;
  readonly #architecture: string;
  /** Workspace by signature and engine; undefined where the engine cannot build the region. */
  readonly #known = new Map<string, number | undefined>();

  constructor(library: Cudnn, device: CudaDevice, architecture: string) {
    this.#library = library;
    this.#architecture = architecture;
    this.#device = device;
    this.version = `${VERSION}, cuDNN ${library.version}`;
  }

  *patterns(regions: Regions): Generator<readonly NodeId[]> {
    for (const ids of chainPatterns(regions, ({ op }) => op === "conv2d", ({ op }) => op === "add"))
      if (ids.length === 2) yield ids; // prettier-ignore
  }

  candidates(region: Region, effort: Effort): readonly Candidate[] | Cannot {
    const form = formOf(region);
    if (isCannot(form)) return form;
    const found: Candidate[] = [];
    for (let engine = 0; engine < MOST_TRIES + MOST[effort] && found.length < MOST[effort]; engine++) {
      const answer = this.#candidate(region, form, engine);
      if (!isCannot(answer)) found.push(answer);
      else if (answer.cannot === NO_MORE) break;
    }
    return found.length > 0 ? found : { cannot: "cuDNN has no engine for these operands" };
  }

  revive(region: Region, { params, id }: Choice): Candidate | Cannot {
    const form = formOf(region);
    if (isCannot(form)) return form;
    const { engine } = params as { engine?: unknown };
    return typeof engine === "number"
      ? this.#candidate(region, form, engine)
      : { cannot: `${id} is no choice of ${NAME}` };
  }

  dispose(): void {}

  #candidate(region: Region, form: Form, engine: number): Candidate | Cannot {
    const key = `${region.signature} ${engine}`;
    if (!this.#known.has(key)) {
      const made = this.#plan(form, engine);
      if (isCannot(made)) {
        if (made.cannot === NO_MORE) return made;
        this.#known.set(key, undefined);
      } else {
        this.#known.set(key, made.workspaceBytes);
        made.graph[Symbol.dispose]();
      }
    }
    const workspaceBytes = this.#known.get(key);
    if (workspaceBytes === undefined) return { cannot: `engine ${engine} cannot build it` };
    const label = region.nodes.map(({ op }) => op).join("+");
    return {
      provider: NAME,
      id: `${label} engine ${engine}`,
      params: { engine },
      layouts: form.layouts,
      aliases: [],
      packs: form.packs.map(declared),
      workspaceBytes: wideBytes(form) + workspaceBytes,
      accumulation: "f32",
      capturable: true,
      estimateUs: gpuUs(region, GPU_FLOPS_PER_US.tensor * fullnessOf(region)),
      build: () => this.#build(form, engine, label),
    }; // prettier-ignore
  }

  async #build(form: Form, engine: number, label: string): Promise<Kernel> {
    const { cubin } = form.narrow ? await compileCudaAside(narrowText(form.narrow), this.#architecture) : {};
    const made = this.#plan(form, engine);
    if (isCannot(made)) throw new TroupeError("provider", `cuDNN's engine ${engine} for ${label}: ${made.cannot}`);
    return new PlanKernel(this.#device, label, form, made, cubin);
  }

  #plan(form: Form, engine: number): { readonly graph: BackendGraph; readonly plan: bigint; readonly workspaceBytes: number } | Cannot {
    const graph = new BackendGraph(this.#library);
    try {
      const configuration = graph.configurations(form.operations(graph))[engine];
      const made = configuration === undefined ? undefined : graph.plan(configuration);
      if (made) return { graph, ...made };
      graph[Symbol.dispose]();
      return { cannot: configuration === undefined ? NO_MORE : "it does not become a plan" };
    } catch (error) {
      graph[Symbol.dispose]();
      return { cannot: messageOf(error) };
    }
  } // prettier-ignore
}

/** The share of a convolution's tiles that is wanted. */
function fullnessOf({ graph, nodes }: Region): number {
  const head = nodes.find(({ op }) => op === "conv2d");
  return head ? Math.min(1, graph.values[head.outputs[0]!]!.shape[1]! / LEAST_COLUMNS) : 1;
}

const NO_MORE = "the heuristic names no further engine";

export const factory: ProviderFactory = {
  name: NAME,
  open: async (target: Target): Promise<Provider | Cannot> => {
    if (target.device !== "cuda") return { cannot: "cuDNN runs on NVIDIA GPUs only" };
    const why = whyNoCudaDevice();
    if (why !== undefined) return { cannot: why };
    const device = cudaDevice(); // its context is the one that the library's handle belongs to
    const library = openCudnn();
    return isCannot(library) ? library : new CudnnProvider(library, device, target.isa.name);
  },
};
