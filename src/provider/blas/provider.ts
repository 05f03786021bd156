// BLAS as a provider: f32 products through every BLAS library that is here, each a candidate of its own.
import { openmpSettings } from "../../core/debug.js";
import { dtypeBytes } from "../../core/dtype.js";
import { sizeOf } from "../../core/shape.js";
import type { Address, Step, Target } from "../../device/device.js";
import { copyFunction, NativeMemory } from "../../device/native/memory.js";
import { openOpenMp } from "../../device/native/openmp.js";
import { NativeScope } from "../../device/native/scope.js";
import { TroupeError } from "../../core/error.js";
import type { NodeId, Params } from "../../graph/node.js";
import { firstTry } from "../../device/native/first-try.js";
import type { Region, Regions } from "../../graph/region.js";
import { chainPatterns } from "../native/chain.js";
import { emptyOperand } from "../empty.js";
import {
  isCannot, type Binding, type Candidate, type Cannot, type Choice, type Effort, type Kernel, type Provider, type ProviderFactory,
} from "../provider.js"; // prettier-ignore
import { BLAS_NAMES, BLAS_QUERIES, openBlas, type Blas, type Matrix, type Product } from "./binding.js";
import { planOf, type MatrixView, type ProductLibrary, type ProductPlan } from "../native/product-plan.js";

const LIBRARY: ProductLibrary = { name: "BLAS", dtypes: ["f32"] };
const HEADS: ReadonlySet<string> = new Set(["linear", "matmul", "conv2d"]);
const LINKS: ReadonlySet<string> = new Set(["scale", "add"]);
const F32_BYTES = dtypeBytes("f32");

class BlasProvider implements Provider {
  readonly name = "blas";
  readonly version: string;

  constructor(private readonly libraries: readonly Blas[]) {
    this.version = `${libraries.map(({ version }) => version).join("; ")}${openmpSettings()}`;
  }

  patterns(regions: Regions): Iterable<readonly NodeId[]> {
    return chainPatterns(
      regions,
      ({ op }) => HEADS.has(op),
      ({ op }) => LINKS.has(op),
    );
  }

  candidates(region: Region, effort: Effort): readonly Candidate[] | Cannot {
    const empty = emptyOperand(region);
    if (empty) return empty;
    const free = region.nodes[0]?.op === "conv2d" && !region.inputs[0]!.fixed && !region.outputs[0]!.fixed;
    const layouts = free ? ["given", "nhwc"] : ["given"];
    const all = this.libraries.flatMap(({ name }) =>
      layouts.flatMap((layout) =>
        ["sgemm", "sgemv"].map((routine) => this.#candidate(region, { library: name, layout, routine })),
      ),
    );
    const good = all.filter((answer): answer is Candidate => !isCannot(answer));
    if (good.length === 0) return all.find(isCannot) ?? { cannot: "no BLAS library is open" };
    return effort === "none" ? good.slice(0, 1) : good;
  }

  revive(region: Region, choice: Choice): Candidate | Cannot {
    return this.#candidate(region, choice.params);
  }

  dispose(): void {}

  #candidate(region: Region, params: Params): Candidate | Cannot {
    const blas = this.libraries.find(({ name }) => name === params.library);
    if (!blas) return { cannot: `${String(params.library)} is not installed` };
    const plan = planOf(LIBRARY, region, params);
    if (isCannot(plan)) return plan;
    const routine = params.routine === "sgemv" ? "sgemv" : "sgemm";
    using scope = new NativeScope();
    for (const batch of plan.batches.slice(0, 1)) {
      const step = blas[routine](
        scope,
        product(plan, batch, () => 0n, 0),
      );
      if (isCannot(step)) return step;
    }
    return {
      provider: "blas",
      id: `${blas.name} ${routine}${params.layout === "nhwc" ? " nhwc" : ""}`,
      params,
      layouts: plan.layouts,
      aliases: plan.residual === undefined ? [] : [{ output: 0, input: plan.residual }],
      packs: [],
      workspaceBytes: 0,
      accumulation: "f32",
      capturable: false,
      build: async () => new BlasKernel(blas, routine, region, plan),
    };
  }
}

/** A product of a plan at the addresses that `addressOf` gives; index −1 is the result. */
function product(
  plan: ProductPlan,
  { a, b, c }: ProductPlan["batches"][number],
  addressOf: (input: number) => Address,
  beta: number,
): Product {
  const { m, n, k, alpha } = plan;
  const matrix = ({ offset, rowStride, columnStride }: MatrixView, input: number): Matrix => ({
    address: addressOf(input) + BigInt(offset * F32_BYTES),
    rowStride,
    columnStride,
  });
  return { m, n, k, alpha, beta, a: matrix(a, plan.left), b: matrix(b, plan.right), c: matrix(c, -1) };
}

class BlasKernel implements Kernel {
  readonly #scope = new NativeScope();

  constructor(
    private readonly blas: Blas,
    private readonly routine: "sgemm" | "sgemv",
    private readonly region: Region,
    private readonly plan: ProductPlan,
  ) {}

  pack(index: number): void {
    throw new TroupeError("internal", `BLAS packs nothing, so there is no pack ${index}`);
  }

  bind(binding: Binding): readonly Step[] {
    const { plan } = this;
    const addressOf = (input: number): Address => (input < 0 ? binding.outputs[0]! : binding.inputs[input]!);
    const steps: Step[] = [];
    if (plan.residual !== undefined && addressOf(plan.residual) !== addressOf(-1)) {
      const bytes = sizeOf(this.region.outputs[0]!.shape) * F32_BYTES;
      const words = [addressOf(-1), addressOf(plan.residual), bytes];
      steps.push({ kind: "native", name: "copy residual", fn: copyFunction(), words, status: "ignored" });
    }
    const begun = plan.residual !== undefined;
    const ones = plan.bias && this.#ones(plan.bias.over === "rows" ? plan.m : plan.n);
    for (const batch of plan.batches) {
      const whole = product(plan, batch, addressOf, begun || plan.bias ? 1 : 0);
      if (plan.bias && ones) steps.push(this.#bias(whole, addressOf(plan.bias.input), plan.bias.over, ones, begun));
      steps.push(this.#step(this.routine, whole));
    }
    return steps;
  }

  dispose(): void {
    this.#scope.dispose();
  }

  /** result = (result +) ones · bias, or bias · ones: a bias is itself a product, over one term. */
  #bias(whole: Product, bias: Address, over: "rows" | "columns", ones: Address, begun: boolean): Step {
    const [column, row] = over === "rows" ? [ones, bias] : [bias, ones];
    return this.#step("sgemm", {
      ...whole,
      k: 1,
      alpha: 1,
      beta: begun ? 1 : 0,
      a: { address: column, rowStride: 1, columnStride: 1 },
      b: { address: row, rowStride: whole.n, columnStride: 1 },
    });
  }

  #ones(count: number): Address {
    const memory = this.#scope.own(new NativeMemory(count * F32_BYTES));
    new Float32Array(memory.view()).fill(1);
    return memory.address;
  }

  #step(routine: "sgemm" | "sgemv", whole: Product): Step {
    const step = this.blas[routine](this.#scope, whole);
    if (isCannot(step)) throw new TroupeError("internal", step.cannot);
    const name = `${this.blas.name} ${routine} ${whole.m}×${whole.n}×${whole.k}`;
    return { kind: "native", name, fn: step.function, words: step.words, status: "ignored" };
  }
}

export const factory: ProviderFactory = {
  name: "blas",
  open: async (target: Target): Promise<Provider | Cannot> => {
    if (target.device !== "cpu") return { cannot: "BLAS libraries are used on the CPU only" };
    const tried = await firstTry({
      queries: BLAS_NAMES.map((name) => BLAS_QUERIES[name]),
      module: new URL("./smoke.js", import.meta.url).href,
    });
    if (tried) return tried;
    const openMp = openOpenMp();
    if (!isCannot(openMp)) openMp.setThreads(target.threads);
    const answers = BLAS_NAMES.map((name) => openBlas(name));
    const libraries = answers.filter((answer): answer is Blas => !isCannot(answer));
    if (libraries.length === 0) return { cannot: answers.filter(isCannot).map(({ cannot }) => cannot).join(" ") }; // prettier-ignore
    for (const library of libraries) library.setThreads(target.threads);
    return new BlasProvider(libraries);
  },
};
