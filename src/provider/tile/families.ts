// Which of our kernels computes which op, and in which ways. One line an op.
import type { Region } from "../../graph/region.js";
import type { Node } from "../../graph/node.js";
import { hasTrait } from "../../graph/op.js";
import { opOf } from "../../graph/ops.js";
import { attentionForm } from "../../kernel/attention.js";
import { groupNormChannelsForms } from "../../kernel/group-norm-channels.js";
import { convForm, groupNormForm, upsampleForm } from "../../kernel/image.js";
import { pagedAttentionForm, splitPagedAttentionForms } from "../../kernel/paged-attention.js";
import { pageAppendForm } from "../../kernel/pages.js";
import { productForm } from "../../kernel/product.js";
import { productI8Forms, takesPack } from "../../kernel/product-i8.js";
import { pointwiseForm, rowsForm } from "../../kernel/rows.js";
import type { KernelForm } from "../../kernel/sheet.js";
import type { Task } from "../../kernel/task.js";
import { embeddingForm, firstMatchForm, ropeForm, selectForm, sinusoidForm, takeRowForm } from "../../kernel/token.js";
import { takesWinograd, winogradForm } from "../../kernel/winograd.js";
import type { CpuTarget } from "../../lower/schedule.js";
import type { Effort } from "../provider.js";
import {
  attentionVariants,
  convVariants,
  groupNormVariants,
  movingVariants,
  pagedVariants,
  PLAIN,
  productI8Variants,
  productVariants,
  winogradVariants,
  type ProductSizes,
  type Variant,
} from "./space.js";

export interface Family {
  /** The kernels that run one after another, all by the variant's schedule; what they hand on lies in temporaries. */
  forms(task: Task, variant: Variant): readonly KernelForm[];
  variants(task: Task, region: Region, target: CpuTarget, effort: Effort): readonly Variant[];
  /** Whether pointwise ops that follow may be part of it. */
  readonly takesLinks: boolean;
  /** Inputs of the head that the result may overwrite: each element is read last where it is written. */
  readonly overwrites: "none" | "all" | "first";
}

/** Queries of a program of paged attention, where the schedule names none. */
const QUERY_BLOCK = 128;

const canTurn = (region: Region): boolean =>
  [...region.inputs, ...region.outputs].some((o) => o.shape.length === 4 && o.kind === "activation" && !o.fixed);

const isWeight = (task: Task, input: number): boolean =>
  task.inputs[input]!.kind === "weight" || task.inputs[input]!.kind === "constant";

const once = (form: (task: Task) => KernelForm): Family => ({
  forms: (task) => [form(task)],
  variants: () => [PLAIN],
  takesLinks: false,
  overwrites: "none",
});

/** Of a linear layer or a matrix product. */
export function productSizesOf(task: Task): ProductSizes {
  const { head, inputs: [x], output } = task; // prettier-ignore
  const linear = head.op === "linear";
  const rows = output.shape.slice(0, -1).reduce((n, dim) => n * dim, 1);
  const M = linear ? rows : (output.shape.at(-2) ?? 1);
  return { M, N: output.shape.at(-1)!, K: x!.shape.at(-1)!, batch: rows / M, weight: linear && isWeight(task, 1), bf16: x!.dtype === "bf16" }; // prettier-ignore
}

const product: Family = {
  forms: (task, { width, pairs }) => [productForm(task, { width, pairs })],
  variants: (task, _region, target, effort) => productVariants(productSizesOf(task), target, effort),
  takesLinks: true,
  overwrites: "none",
};

const productI8: Family = {
  forms: (task, { width, quads = false }) => productI8Forms(task, { width, quads }),
  variants(task, _region, target, effort) {
    const [N, K] = task.inputs[1]!.shape as readonly [number, number];
    const M = task.output.shape.slice(0, -1).reduce((n, dim) => n * dim, 1);
    const weight = isWeight(task, 1) && N > 1 && takesPack(task);
    return productI8Variants({ M, N, K, batch: 1, weight, bf16: false }, target, effort);
  },
  takesLinks: true,
  overwrites: "none",
};

const rows: Family = {
  forms: (task) => [rowsForm(task)],
  variants: (task, _region, _target, effort) => {
    const lead = task.output.shape.slice(0, -1);
    const last = lead.findLastIndex((dim) => dim > 1);
    return movingVariants(last < 0 ? [] : [{ key: `T${last}`, size: lead[last]! }], false, effort);
  },
  takesLinks: true,
  overwrites: "first",
};

const FAMILIES: Readonly<Record<string, Family>> = {
  linear: product,
  linear_i8: productI8,
  matmul: product,
  attention: {
    forms: (task) => [attentionForm(task)],
    variants(task, _region, target, effort) {
      const [B, Q, H] = task.output.shape as readonly [number, number, number];
      const L = task.inputs[1]!.shape[1]!;
      return attentionVariants({ Q, L, bf16: task.output.dtype === "bf16", programs: B * H }, target, effort);
    },
    takesLinks: false,
    overwrites: "none",
  },
  rms_norm: rows,
  layer_norm: rows,
  softmax: rows,
  group_norm: {
    forms: (task, { parts }) => (parts ? groupNormChannelsForms(task, parts) : [groupNormForm(task)]),
    variants: (task, region, target, effort) =>
      groupNormVariants({ H: task.output.shape[2]!, isTurned: task.inputs[0]!.strides[1] === 1, canTurn: canTurn(region) }, target, effort), // prettier-ignore
    takesLinks: true,
    overwrites: "none",
  },
  conv2d: {
    forms: (task, { width, pairs, winograd }) => [
      winograd ? winogradForm(task, winograd, width) : convForm(task, { width, pairs }),
    ],
    variants(task, region, target, effort) {
      const [, O, OY, OX] = task.output.shape as readonly [number, number, number, number];
      const [x] = task.inputs;
      const sizes = { OY, OX, O, C: x!.shape[1]!, weight: isWeight(task, 1), bf16: x!.dtype === "bf16", canTurn: canTurn(region), isTurned: x!.strides[1] === 1 }; // prettier-ignore
      const tap = convVariants(sizes, target, effort);
      if (effort === "none") return tap;
      // The smaller tiles are for images that the larger do not fill, and for errors that theirs pass.
      const fitting = ([4, 2] as const).filter((m) => takesWinograd(task, m));
      const sides = effort === "quick" ? fitting.slice(0, 1) : fitting;
      const few = effort === "quick" ? 2 : 8;
      return [...tap, ...sides.flatMap((m) => winogradVariants(sizes, m, target).slice(0, few))];
    },
    takesLinks: true,
    overwrites: "none",
  },
  upsample_nearest: {
    forms: (task) => [upsampleForm(task)],
    variants: (_task, region, _target, effort) => movingVariants([], canTurn(region), effort),
    takesLinks: true,
    overwrites: "none",
  },
  rope: once(ropeForm),
  embedding: once(embeddingForm),
  take_row: once(takeRowForm),
  select: once(selectForm),
  first_match: once(firstMatchForm),
  sinusoid: once(sinusoidForm),
  page_append: once(pageAppendForm),
  paged_attention: {
    forms: (task, { parts }) => (parts ? splitPagedAttentionForms(task, parts) : [pagedAttentionForm(task)]),
    variants(task, _region, target, effort) {
      const [q, keys, , pages] = task.inputs;
      const programs = q!.shape[0]! * keys!.shape[2]! * Math.ceil(q!.shape[1]! / QUERY_BLOCK);
      return pagedVariants({ programs, pages: pages!.shape[1]! }, target, effort);
    },
    takesLinks: false,
    overwrites: "none",
  },
};

const pointwise: Family = {
  forms: (task) => [pointwiseForm(task, opOf(task.head).expression!(task.head.params))],
  variants: (task, region, _target, effort) => {
    const free = canTurn(region) && task.output.shape.length === 4 ? canTurn(region) : false;
    return movingVariants([], free, effort);
  },
  takesLinks: true,
  overwrites: "all",
};

export function familyOf(node: Node): Family | undefined {
  const known = FAMILIES[node.op];
  if (known) return known;
  return hasTrait(opOf(node), "pointwise") && opOf(node).expression ? pointwise : undefined;
}

/** Pointwise ops of one or two operands may follow a kernel. */
export const isLink = (node: Node): boolean =>
  hasTrait(opOf(node), "pointwise") && opOf(node).expression !== undefined && node.inputs.length <= 2;
