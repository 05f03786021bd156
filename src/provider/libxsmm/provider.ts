// libxsmm as a provider: products of f32 and bf16 out of small kernels that it generates for the sizes at hand.
import { openmpSettings } from "../../core/debug.js";
import { TroupeError } from "../../core/error.js";
import type { Address, Step, Target } from "../../device/device.js";
import { firstTry } from "../../device/native/first-try.js";
import { openOpenMp } from "../../device/native/openmp.js";
import { NativeScope } from "../../device/native/scope.js";
import type { NodeId, Params } from "../../graph/node.js";
import type { Region, Regions } from "../../graph/region.js";
import { emptyOperand } from "../empty.js";
import { chainPatterns } from "../native/chain.js";
import {
  isCannot, type Binding, type Candidate, type Cannot, type Choice, type Effort, type Kernel, type Provider, type ProviderFactory, type Way,
} from "../provider.js"; // prettier-ignore
import { linkLibxsmm, openLibxsmm, type Libxsmm } from "./library.js";
import { productOf, productVariants, tilingOf, waysAt, type Product } from "./product.js";
import { FIELDS, KERNELS, PANEL } from "./shim.js";

const HEADS: ReadonlySet<string> = new Set(["linear", "matmul", "conv2d"]);

class LibxsmmProvider implements Provider {
  readonly name = "libxsmm";
  readonly version: string;

  constructor(
    private readonly xsmm: Libxsmm,
    private readonly threads: number,
  ) {
    this.version = `${xsmm.version}${openmpSettings()}`;
  }

  patterns(regions: Regions): Iterable<readonly NodeId[]> {
    return chainPatterns(
      regions,
      ({ op }) => HEADS.has(op),
      ({ op }) => op === "add",
    );
  }

  candidates(region: Region, effort: Effort): readonly Candidate[] | Cannot {
    const empty = emptyOperand(region);
    if (empty) return empty;
    const all = [...productVariants(region, this.threads)].map((params) => this.#candidate(region, params));
    const good = all.filter((answer): answer is Candidate => !isCannot(answer));
    if (good.length === 0) return all.findLast(isCannot) ?? { cannot: "libxsmm multiplies matrices only" };
    return effort === "full" ? good : good.slice(0, 1); // they differ by a hundredth or two
  }

  waysAt(region: Region): (rows: number) => readonly Way[] {
    return waysAt(region, this.threads);
  }

  revive(region: Region, choice: Choice): Candidate | Cannot {
    return this.#candidate(region, choice.params);
  }

  dispose(): void {}

  #candidate(region: Region, params: Params): Candidate | Cannot {
    const product = productOf(region, params);
    if (isCannot(product)) return product;
    const { plan, right, packBytes, fields } = product;
    const isBf16 = fields.elementBytes === 2;
    if (isBf16 && !this.xsmm.bf16)
      return { cannot: `libxsmm ${this.xsmm.version} has bf16 products as instructions with AVX-512-BF16 only` };
    const images = params.layout === "nhwc" ? " nhwc" : "";
    return {
      provider: "libxsmm",
      id: `${right}${images} ${fields.blockRows}x${PANEL}${isBf16 ? "" : ` k${fields.blockTerms}`}`,
      params,
      layouts: plan.layouts,
      aliases: plan.residual === undefined ? [] : [{ output: 0, input: plan.residual }],
      packs: right === "packed" ? [{ input: plan.right, recipe: `xsmm:${packRecipe(product)}`, bytes: packBytes }] : [],
      workspaceBytes: product.workspaceBytes,
      accumulation: "f32",
      capturable: false,
      method: `${right}${images}`,
      tiling: tilingOf(plan, { rows: fields.blockRows, terms: fields.blockTerms }),
      build: async () => new LibxsmmKernel(this.xsmm, product),
    };
  }
}

/** Packs of one weight are alike where its strides and sizes are. */
const packRecipe = ({ fields: { elementBytes, columns, terms, bRow, bColumn } }: Product): string =>
  `${elementBytes === 2 ? "pairs" : "panels"}${PANEL} ${columns}x${terms} ${bColumn}x${bRow}`;

class LibxsmmKernel implements Kernel {
  readonly #scope = new NativeScope();
  readonly #product: Address;

  constructor(
    private readonly xsmm: Libxsmm,
    private readonly product: Product,
  ) {
    const fields = { ...product.fields, offsets: this.#scope.words(product.offsets) };
    const kernels = Array.from({ length: KERNELS }, () => 0);
    this.#product = this.#scope.words([...FIELDS.map((name) => fields[name]), ...kernels]);
    const { m, n, k } = product.plan;
    if (!xsmm.prepare(this.#product))
      throw new TroupeError("provider", `libxsmm generates no kernels for a product of ${m}×${n}×${k}`, {
        advice: "Another candidate takes its place; TROUPE_WITHOUT=libxsmm leaves the library out.",
      });
  }

  pack(_index: number, from: Address, to: Address): void {
    this.xsmm.pack(this.#product, from, to);
  }

  bind({ inputs, outputs, workspace }: Binding): readonly Step[] {
    const { m, n, k, left, right, bias, residual } = this.product.plan;
    const at = (input: number | undefined): Address => (input === undefined ? 0n : inputs[input]!);
    const words = [this.#product, at(left), at(right), outputs[0]!, at(bias?.input), at(residual), workspace];
    const name = `libxsmm ${this.product.right} ${m}×${n}×${k}`;
    return [{ kind: "native", name, fn: this.xsmm.run, words, status: "ignored" }];
  }

  dispose(): void {
    this.#scope.dispose();
  }
}

export const factory: ProviderFactory = {
  name: "libxsmm",
  open: async (target: Target): Promise<Provider | Cannot> => {
    if (target.device !== "cpu") return { cannot: "libxsmm is used on the CPU only" };
    const linked = await linkLibxsmm();
    if (isCannot(linked)) return linked;
    const tried = await firstTry({ queries: [linked], module: new URL("./smoke.js", import.meta.url).href });
    if (tried) return tried;
    const openMp = openOpenMp();
    if (!isCannot(openMp)) openMp.setThreads(target.threads);
    const xsmm = openLibxsmm(linked);
    return isCannot(xsmm) ? xsmm : new LibxsmmProvider(xsmm, target.threads);
  },
};
