// Attention as two batched products with a softmax of our own between them, all scores in the workspace: for depths that
// kernels which never write the scores do not take, such as the 512 of an image decoder.
import { dtypeBytes, type DType } from "../../core/dtype.js";
import type { CudaDevice } from "../../device/cuda/device.js";
import { architectureOf } from "../../device/cuda/target.js";
import type { Operand, Region } from "../../graph/region.js";
import { layoutOf, Sheet, type KernelForm } from "../../kernel/sheet.js";
import { lowerToBlock } from "../../lower/cuda/general.js";
import { softmax } from "../../tile/index.js";
import { chainOf } from "../native/chain.js";
import { GPU_FLOPS_PER_US, gpuUs } from "../native/gpu-model.js";
import { isCannot, type Binding, type Candidate, type Cannot, type Kernel } from "../provider.js";
import { GeneralKernel, type CudaWork } from "../tile/cuda-kernel.js";
import { matrix, type Form } from "./form.js";
import type { CublasLt } from "./library.js";
import { algorithmsFor, MOST_WORKSPACE_BYTES, Product, type Algorithm } from "./product.js";

const DTYPES: ReadonlySet<DType> = new Set(["f32", "bf16", "f16"]);
const MOST_SCORE_BYTES = 4 * 2 ** 30;
const SCORE_BYTES_PER_US = 3e6;

/** One attention without a mask: its two products and the rows between them. */
export class AttentionProducts {
  private constructor(
    readonly library: CublasLt,
    readonly device: CudaDevice,
    readonly region: Region,
    readonly operands: readonly number[],
    readonly products: readonly [Form, Form],
    readonly algorithms: readonly [Algorithm, Algorithm],
    /** Scores: rows of all heads, keys. */
    readonly rows: number,
    readonly keys: number,
  ) {}

  static of(library: CublasLt, device: CudaDevice, region: Region): AttentionProducts | Cannot {
    const chain = chainOf(region);
    if (isCannot(chain)) return chain;
    const { head, operands, links } = chain;
    const [output] = region.outputs as readonly [Operand];
    const [q, k, v, bias] = operands.map((index) => region.inputs[index]!) as [Operand, Operand, Operand, Operand?];
    const { scale, causal } = head.params as { scale: number; causal: boolean };
    const [B, Q, H, D] = q.shape as [number, number, number, number];
    const L = k.shape[1]!;
    const odd = [q, k, v, output].find(({ dtype }) => dtype !== output.dtype || !DTYPES.has(dtype));
    if (odd) return { cannot: `cuBLASLt multiplies operands of one float type here, not ${odd.dtype}` };
    if (links.length > 0 || bias || causal)
      return { cannot: "attention as two products has no mask and nothing after it" };
    if (k.shape[2] !== H) return { cannot: "query heads share key heads" };
    if (B !== 1 && H !== 1) return { cannot: "batches of several heads do not lie at one stride" };
    if ([B, Q, H, D, L].includes(0)) return { cannot: "an operand has no elements" };
    const [batch, axis] = B === 1 ? [H, 2] : [B, 0];
    const scores = batch * Q * L;
    if (scores * 4 > MOST_SCORE_BYTES) return { cannot: `${scores} scores do not fit the workspace` };
    const view = ({ shape, strides }: Operand) => matrix(shape[1]!, D, strides[1]!, strides[3]!, strides[axis]!);
    const [a, b, d] = [view(k), view(q), view(output)];
    const values = matrix(D, L, v.strides[3]!, v.strides[1]!, v.strides[axis]!);
    const [full, weights] = [matrix(Q, L, L, 1, Q * L), matrix(Q, L, L, 1, Q * L)];
    if (!a || !b || !d || d.transposed || !values || !full || !weights)
      return { cannot: "an operand has no dimension of stride 1" };
    const shared = { dtype: output.dtype, batch, left: 0, right: 1, gelu: false } as const;
    const products: [Form, Form] = [
      { ...shared, m: L, n: Q, a, b, d: full, alpha: scale, resultDtype: "f32" },
      { ...shared, m: D, n: Q, a: values, b: weights, d },
    ];
    const least = Math.min(...[q, k, v, output].map(({ alignmentBytes }) => alignmentBytes));
    const found = products.map(
      (form) => algorithmsFor(library, form, { a: least, b: least, c: least, d: least, bias: 64 }, 1)[0],
    );
    const [first, second] = found;
    if (!first || !second) return { cannot: "cuBLASLt has no algorithm for these operands" };
    return new AttentionProducts(library, device, region, operands, products, [first, second], batch * Q, L);
  }

  candidate(provider: string): Candidate {
    const { region, rows, keys } = this;
    const bytes = rows * keys * (4 * 3 + 2 * dtypeBytes(this.products[0].dtype));
    return {
      provider,
      id: "attention as two products",
      params: {},
      layouts: { inputs: region.inputs.map(() => undefined), outputs: [undefined] },
      aliases: [],
      packs: [],
      workspaceBytes: MOST_WORKSPACE_BYTES + this.#scoreBytes + this.#weightBytes,
      accumulation: "f32",
      capturable: true,
      estimateUs:
        gpuUs(region, GPU_FLOPS_PER_US[this.products[0].dtype === "f32" ? "vector" : "tensor"]) +
        bytes / SCORE_BYTES_PER_US,
      build: () => this.#build(),
    };
  }

  get #scoreBytes(): number {
    return aligned(this.rows * this.keys * 4);
  }
  get #weightBytes(): number {
    return aligned(this.rows * this.keys * dtypeBytes(this.products[0].dtype));
  }

  async #build(): Promise<Kernel> {
    const { library, device, products, algorithms, operands } = this;
    const form = softmaxForm(this.rows, this.keys, products[0].dtype);
    const layouts = Object.fromEntries(form.parameters.map((parameter) => [parameter.name, layoutOf(parameter)]));
    const program = lowerToBlock(
      form.program,
      { sizes: form.sizes, layouts, alignments: { scores: 256, weights: 256 } },
      { blocks: { M: 1 } },
      device.facts.multiprocessors,
    );
    const work: CudaWork = { name: "softmax of scores", device, architecture: architectureOf(device.facts), form };
    const first = new Product(library, "scores", products[0], algorithms[0]);
    const between = await GeneralKernel.build(work, program);
    const second = new Product(library, "weighted values", products[1], algorithms[1]);
    const all = [first, between, second];
    const [scoreBytes] = [this.#scoreBytes];
    return {
      pack: () => first.pack(),
      bind: ({ inputs, outputs, workspace }: Binding) => {
        const [q, k, v] = operands.map((index) => inputs[index]!) as [bigint, bigint, bigint];
        const scores = workspace + BigInt(MOST_WORKSPACE_BYTES);
        const weights = scores + BigInt(scoreBytes);
        return [
          ...first.bind({ inputs: [k, q], outputs: [scores], workspace }),
          ...between.bind({ inputs: [scores], outputs: [weights], workspace }),
          ...second.bind({ inputs: [v, weights], outputs: [outputs[0]!], workspace }),
        ];
      },
      dispose: () => all.forEach((kernel) => kernel.dispose()),
    };
  }
}

const aligned = (bytes: number): number => Math.ceil(bytes / 256) * 256;

/** Rows of f32 scores to weights that add up to 1. */
function softmaxForm(rows: number, keys: number, dtype: DType): KernelForm {
  const sheet = new Sheet();
  sheet.axis("M", rows);
  sheet.axis("L", keys);
  sheet.parameter("scores", "in", { input: 0 }, "f32", ["M", "L"], [keys, 1]);
  sheet.parameter("weights", "out", { output: 0 }, dtype, ["M", "L"], [keys, 1]);
  return sheet.finish("softmax_of_scores", (body) => {
    const at = { M: body.t.program("M") };
    body.store("weights", at, softmax(body.floats("scores", at), "L"));
  });
}
