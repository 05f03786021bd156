// cuBLASLt as a provider: linear layers and batched products with bias, GELU and residual, one candidate for every
// algorithm that the library's heuristic names; attention and convolutions of few filters as products with kernels of ours.
import { hashOf } from "../../core/hash.js";
import { cudaDevice, whyNoCudaDevice } from "../../device/cuda/target.js";
import type { Target } from "../../device/device.js";
import type { Node, NodeId } from "../../graph/node.js";
import type { Region, Regions } from "../../graph/region.js";
import { chainPatterns } from "../native/chain.js";
import { GPU_FLOPS_PER_US, gpuUs } from "../native/gpu-model.js";
import { isCannot, type Candidate, type Cannot, type Choice, type Effort, type Provider, type ProviderFactory } from "../provider.js"; // prettier-ignore
import { formOf, type Form } from "./form.js";
import { openCublasLt, type CublasLt } from "./library.js";
import { AttentionProducts } from "./attention.js";
import { searchAlgorithms } from "./search.js";
import { algorithmsFor, alignmentsOf, Product, type Algorithm } from "./product.js";
import { tapsCandidate } from "./taps.js";

const NAME = "cublaslt";
/** Raised when the same choice would run otherwise. */
const VERSION = "2";
const MOST: Readonly<Record<Effort, number>> = { none: 1, quick: 8, full: 32 };
/** Algorithms beyond the heuristic's, for products that are large enough to tell them apart. */
const MOST_SEARCHED: Readonly<Record<Effort, number>> = { none: 0, quick: 8, full: 96 };
const SEARCHED_FLOPS = 2e10;
/** Of a product for which the general lowering, which others are compared with, takes seconds: this library stands in. */
const PLAIN_FLOPS = 1e12;

class CublasLtProvider implements Provider {
  readonly name = NAME;
  readonly version: string;
  readonly #library: CublasLt;

  constructor(library: CublasLt) {
    this.#library = library;
    this.version = `${VERSION}, cuBLASLt ${library.version}`;
  }

  *patterns(regions: Regions): Generator<readonly NodeId[]> {
    const follows = new Set(["gelu_tanh", "add"]);
    for (const ids of chainPatterns(regions, ({ op }) => op === "linear", ({ op }) => follows.has(op)))
      if (ids.length === 2) yield ids; // prettier-ignore
    for (const ids of chainPatterns(regions, isConvolution, ({ op }) => op === "cast")) if (ids.length === 2) yield ids;
  }

  candidates(region: Region, effort: Effort): readonly Candidate[] | Cannot {
    const whole = this.#whole(region);
    if (whole) return isCannot(whole) ? whole : [whole];
    const form = formOf(region);
    if (isCannot(form)) return form;
    const alignments = alignmentsOf(region, form);
    const named = algorithmsFor(this.#library, form, alignments, MOST[effort]);
    if (named.length === 0) return { cannot: "cuBLASLt has no algorithm for these operands" };
    const isWorth = form.batch === 1 && form.dtype !== "f32" && flopsOf(form) > SEARCHED_FLOPS;
    const more = isWorth && MOST_SEARCHED[effort] > 0 ? searchAlgorithms(this.#library, form, alignments, named, MOST_SEARCHED[effort]) : []; // prettier-ignore
    return [...named, ...more].map((algorithm) => this.#candidate(region, form, algorithm));
  }

  revive(region: Region, { params, id }: Choice): Candidate | Cannot {
    const whole = this.#whole(region);
    if (whole) return whole;
    const form = formOf(region);
    if (isCannot(form)) return form;
    const { algorithm, workspaceBytes } = params as { algorithm?: unknown; workspaceBytes?: unknown };
    const bytes = typeof algorithm === "string" ? Uint8Array.from(Buffer.from(algorithm, "hex")) : undefined;
    if (bytes?.length !== 64 || typeof workspaceBytes !== "number") return { cannot: `${id} is no choice of ${NAME}` };
    return this.#candidate(region, form, { bytes, workspaceBytes });
  }

  dispose(): void {}

  /** What takes products and kernels of our own around them, in one way; undefined for products alone. */
  #whole(region: Region): Candidate | Cannot | undefined {
    if (region.nodes.some(isConvolution)) return tapsCandidate(NAME, this.#library, cudaDevice(), region);
    if (!region.nodes.some(({ op }) => op === "attention")) return undefined;
    const found = AttentionProducts.of(this.#library, cudaDevice(), region);
    return isCannot(found) ? found : found.candidate(NAME);
  }

  #candidate(region: Region, form: Form, algorithm: Algorithm): Candidate {
    const code = Buffer.from(algorithm.bytes).toString("hex");
    const label = region.nodes.map(({ op }) => op).join("+");
    const whole = form.residual && form.residual.c.ld === form.d.ld && form.residual.c.rows === form.d.rows;
    return {
      provider: NAME,
      id: `${label} algorithm ${hashOf(code).slice(0, 6)}`,
      params: { algorithm: code, workspaceBytes: algorithm.workspaceBytes },
      layouts: { inputs: region.inputs.map(() => undefined), outputs: [undefined] },
      aliases:
        whole && region.inputs[form.residual.input]!.kind === "activation"
          ? [{ output: 0, input: form.residual.input }]
          : [],
      packs: [],
      workspaceBytes: algorithm.workspaceBytes,
      accumulation: "f32",
      capturable: true,
      estimateUs: gpuUs(region, GPU_FLOPS_PER_US[form.dtype === "f32" ? "vector" : "tensor"], form.pictures),
      isPlain:
        form.dtype === "f32" &&
        region.nodes.length === 1 &&
        (form.pictures ?? 1) * form.batch * flopsOf(form) > PLAIN_FLOPS,
      build: async () => new Product(this.#library, label, form, algorithm),
    };
  }
}

/** Of one product of the batch. */
const flopsOf = ({ m, n, b }: Form): number => 2 * m * n * b.rows;

const isConvolution = ({ op }: Node): boolean => op === "conv2d";

export const factory: ProviderFactory = {
  name: NAME,
  open: async (target: Target): Promise<Provider | Cannot> => {
    if (target.device !== "cuda") return { cannot: "cuBLASLt runs on NVIDIA GPUs only" };
    const why = whyNoCudaDevice();
    if (why !== undefined) return { cannot: why };
    cudaDevice(); // its context is the one that the library's handle belongs to
    const library = openCublasLt();
    return isCannot(library) ? library : new CublasLtProvider(library);
  },
};
