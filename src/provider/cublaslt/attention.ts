// Attention as two batched products with a softmax of our own between them, all scores in the workspace: for what kernels
// that never write the scores do not take, such as the depth of 512 of an image decoder or the bias of T5. One batch is
// the heads of a picture; pictures come one after another, so the scores of one are all that there is room for.
import { dtypeBytes, type DType } from "../../core/dtype.js";
import type { Strides } from "../../core/shape.js";
import type { CudaDevice } from "../../device/cuda/device.js";
import type { Address } from "../../device/device.js";
import { architectureOf } from "../../device/cuda/target.js";
import type { Operand, Region } from "../../graph/region.js";
import { layoutsOf, Sheet, type KernelForm } from "../../kernel/sheet.js";
import type { BlockProgram } from "../../lower/cuda/block-program.js";
import { lowerToBlock } from "../../lower/cuda/general.js";
import { chainOf } from "../native/chain.js";
import { GPU_FLOPS_PER_US, gpuUs } from "../native/gpu-model.js";
import { isCannot, type Binding, type Candidate, type Cannot, type Kernel } from "../provider.js";
import { GeneralKernel, type CudaWork } from "../tile/cuda-kernel.js";
import { matrix, MOST_PICTURES, type Form } from "./form.js";
import type { CublasLt } from "./library.js";
import { algorithmsFor, alignedApart, MOST_WORKSPACE_BYTES, Product, type Algorithm } from "./product.js";

const DTYPES: ReadonlySet<DType> = new Set(["f32", "bf16", "f16"]);
const MOST_SCORE_BYTES = 4 * 2 ** 30;
const SCORE_BYTES_PER_US = 3e6;
/** Of a picture. */
const LAUNCHES = 3;

/** One attention without a causal mask: for every picture its two products and the rows between them. */
export class AttentionProducts {
  private constructor(
    readonly library: CublasLt,
    readonly device: CudaDevice,
    readonly region: Region,
    readonly operands: readonly number[],
    readonly products: readonly [Form, Form],
    readonly algorithms: readonly [Algorithm, Algorithm],
    readonly scores: Scores,
    readonly pictures: Pictures,
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
    if (links.length > 0 || causal)
      return { cannot: "attention as two products has no causal mask and nothing after it" };
    if (bias && !DTYPES.has(bias.dtype)) return { cannot: `a bias of ${bias.dtype} is no bias here` };
    if (k.shape[2] !== H) return { cannot: "query heads share key heads" };
    if ([B, Q, H, D, L].includes(0)) return { cannot: "an operand has no elements" };
    if (B > MOST_PICTURES) return { cannot: `${B} pictures one after another are too many launches` };
    const scores = H * Q * L;
    if (scores * 4 > MOST_SCORE_BYTES) return { cannot: `${scores} scores do not fit the workspace` };
    const view = ({ shape, strides }: Operand) => matrix(shape[1]!, D, strides[1]!, strides[3]!, strides[2]!);
    const [a, b, d] = [view(k), view(q), view(output)];
    const values = matrix(D, L, v.strides[3]!, v.strides[1]!, v.strides[2]!);
    const [full, weights] = [matrix(Q, L, L, 1, Q * L), matrix(Q, L, L, 1, Q * L)];
    if (!a || !b || !d || d.transposed || !values || !full || !weights)
      return { cannot: "an operand has no dimension of stride 1" };
    const shared = { dtype: output.dtype, batch: H, left: 0, right: 1, gelu: false } as const;
    const products: [Form, Form] = [
      { ...shared, m: L, n: Q, a, b, d: full, alpha: scale, resultDtype: "f32" },
      { ...shared, m: D, n: Q, a: values, b: weights, d },
    ];
    const apart = [q, k, v, output].map(({ strides }) => (B === 1 ? 0 : strides[0]! * dtypeBytes(output.dtype)));
    const least = Math.min(
      ...[q, k, v, output].map(({ alignmentBytes }, i) => alignedApart(alignmentBytes, apart[i]!)),
    );
    const found = products.map(
      (form) => algorithmsFor(library, form, { a: least, b: least, c: least, d: least, bias: 64 }, 1)[0],
    );
    const [first, second] = found;
    if (!first || !second) return { cannot: "cuBLASLt has no algorithm for these operands" };
    const added = bias && { dtype: bias.dtype, strides: bias.strides };
    const form: Scores = { heads: H, queries: Q, keys: L, dtype: output.dtype, ...(added && { bias: added }) };
    return new AttentionProducts(library, device, region, operands, products, [first, second], form, {
      count: B,
      apart,
    });
  }

  candidate(provider: string): Candidate {
    const { region } = this;
    const { count } = this.pictures;
    const bytes = count * this.#count * (4 * 3 + 2 * dtypeBytes(this.products[0].dtype));
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
        gpuUs(region, GPU_FLOPS_PER_US[this.products[0].dtype === "f32" ? "vector" : "tensor"], LAUNCHES * count) +
        bytes / SCORE_BYTES_PER_US,
      build: () => this.#build(),
    };
  }

  get #count(): number {
    const { heads, queries, keys } = this.scores;
    return heads * queries * keys;
  }
  get #scoreBytes(): number {
    return aligned(this.#count * 4);
  }
  get #weightBytes(): number {
    return aligned(this.#count * dtypeBytes(this.products[0].dtype));
  }

  async #build(): Promise<Kernel> {
    const { library, device, products, algorithms, operands, pictures } = this;
    const form = softmaxForm(this.scores);
    const program = softmaxProgram(form, device.facts.multiprocessors);
    const work: CudaWork = { name: "softmax of scores", device, architecture: architectureOf(device.facts), form };
    const first = new Product(library, "scores", products[0], algorithms[0]);
    const between = await GeneralKernel.build(work, program);
    const second = new Product(library, "weighted values", products[1], algorithms[1]);
    const parts = [first, between, second];
    const scoreBytes = this.#scoreBytes;
    return {
      pack: () => first.pack(),
      bind: ({ inputs, outputs, workspace }: Binding) => {
        const given = operands.map((index) => inputs[index]!);
        const bias = given.slice(3);
        const scores = workspace + BigInt(MOST_WORKSPACE_BYTES);
        const weights = scores + BigInt(scoreBytes);
        return Array.from({ length: pictures.count }, (_, picture) => {
          const at = (address: Address, i: number): Address => address + BigInt(picture * pictures.apart[i]!);
          const [q, k, v, output] = [...given.slice(0, 3), outputs[0]!].map(at) as [bigint, bigint, bigint, bigint];
          return [
            ...first.bind({ inputs: [k, q], outputs: [scores], workspace }),
            ...between.bind({ inputs: [scores, ...bias], outputs: [weights], workspace }),
            ...second.bind({ inputs: [v, weights], outputs: [output], workspace }),
          ];
        }).flat();
      },
      dispose: () => parts.forEach((kernel) => kernel.dispose()),
    };
  }
}

/** Bytes from a picture to the next, of queries, keys, values and the result. */
interface Pictures {
  readonly count: number;
  readonly apart: readonly number[];
}

/** What lies in the workspace begins on multiples of so many bytes. */
const WORKSPACE_BYTES = 256;
const aligned = (bytes: number): number => Math.ceil(bytes / WORKSPACE_BYTES) * WORKSPACE_BYTES;

/** The rows between the products of a picture. */
export interface Scores {
  readonly heads: number;
  readonly queries: number;
  readonly keys: number;
  /** Of the weights. */
  readonly dtype: DType;
  /** What is added before the softmax, as it lies: [heads, queries, keys]. */
  readonly bias?: { readonly dtype: DType; readonly strides: Strides };
}

/** Rows of f32 scores to weights that add up to 1. */
export function softmaxForm({ heads, queries, keys, dtype, bias }: Scores): KernelForm {
  const sheet = new Sheet();
  for (const [axis, size] of Object.entries({ H: heads, Q: queries, L: keys })) sheet.axis(axis, size);
  const axes = ["H", "Q", "L"];
  const dense = [queries * keys, keys, 1];
  sheet.parameter("scores", "in", { input: 0 }, "f32", axes, dense);
  if (bias) sheet.parameter("bias", "in", { input: 1 }, bias.dtype, axes, bias.strides);
  sheet.parameter("weights", "out", { output: 0 }, dtype, axes, dense);
  return sheet.finish("softmax_of_scores", (body) => {
    const at = { H: body.t.each("H"), Q: body.t.program("Q") };
    const scores = body.floats("scores", at);
    const biased = bias ? scores.add(body.floats("bias", at)) : scores;
    const powers = biased.sub(biased.max("L")).mul(Math.LOG2E).exp2();
    // One division a row.
    body.store("weights", at, powers.mul(powers.sum("L").recip()));
  });
}

/** A row a block. */
export function softmaxProgram(form: KernelForm, multiprocessors: number): BlockProgram {
  const { program, sizes } = form;
  const alignments = { scores: WORKSPACE_BYTES, weights: WORKSPACE_BYTES };
  return lowerToBlock(program, { sizes, layouts: layoutsOf(form), alignments }, { blocks: { Q: 1 } }, multiprocessors);
}
