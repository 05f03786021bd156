// From a tile program to CUDA kernels: the one way in. Anything that is no canonical loop comes back as a reason.
import type { CudaKernel } from "../../device/cuda/kernel.js";
import { aheadOf } from "../../lower/cuda/ahead.js";
import {
  cannot,
  isCannot,
  type AttentionForm,
  type Cannot,
  type CanonicalForm,
  type ProductForm,
} from "../../lower/cuda/form.js";
import { matchCanonical } from "../../lower/cuda/match.js";
import {
  checkAttention,
  checkMatmul,
  STEP_K,
  type AttentionSchedule,
  type MatmulSchedule,
} from "../../lower/cuda/schedule.js";
import { attentionCandidates, matmulCandidates, type MatmulSizes } from "../../lower/cuda/space.js";
import type { TileProgram } from "../../tile/program.js";
import { paramOf } from "../../tile/query.js";
import { renderAttention } from "./attention.js";
import { renderMatmul } from "./matmul.js";
import { GROUP_WIDTHS } from "./moments.js";

export type CudaSchedule = MatmulSchedule | AttentionSchedule;
/** Size of every axis by name. */
export type AxisSizes = Readonly<Record<string, number>>;

const depthsOf = (form: AttentionForm, sizes: AxisSizes): readonly [number, number] => [
  sizes[form.depth] ?? 0,
  sizes[form.valueDepth] ?? 0,
];

/** Elements of a head, where a form has heads. */
const widthOf = ({ inner, program }: ProductForm, sizes: AxisSizes): number =>
  inner.reduce((width, axis) => width * (program.axes.find(({ name }) => name === axis)?.size ?? sizes[axis] ?? 0), 1);

/** Why a tile does not hold whole heads, each in one block's hands, or whole groups of channels, or undefined. */
function wholeHeadsReason({ kind, inner, store, program }: ProductForm, { blockN, split = 1 }: MatmulSchedule, width: number): string | undefined {
  if (inner.length === 0) return undefined;
  if (kind === "conv") return GROUP_WIDTHS.includes(width) ? undefined : `groups of ${width} channels are no ${GROUP_WIDTHS.join(", ")}`;
  if (width % 64 !== 0 || blockN % width !== 0) return `tiles of ${blockN} columns do not hold whole heads of ${width}`;
  if (split > 1) return "blocks of a cluster that share a tile store parts of heads";
  return paramOf(program, store.tensor).dtype === "f32" ? "heads are stored in 16 bits" : undefined;
} // prettier-ignore

function productSizes(form: ProductForm, sizes: AxisSizes, width: number): MatmulSizes {
  const batch = form.outer ? sizes[form.outer.axis]! : 1;
  if (form.kind === "matmul") return { m: sizes[form.m.axis]!, n: sizes[form.n.axis]! * width, k: sizes[form.k]!, batch }; // prettier-ignore
  const picture = { lines: sizes[form.y.axis]!, columns: sizes[form.x.axis]! };
  return {
    m: picture.lines * picture.columns,
    n: sizes[form.n.axis]! * width,
    k: contracted(form, sizes),
    batch,
    picture,
  };
}

/** Elements of the contracted axis: of a convolution in whole steps of channels for every tap. */
const contracted = (form: ProductForm, sizes: AxisSizes): number =>
  form.kind === "matmul"
    ? sizes[form.k]!
    : form.taps.reduce((all, tap) => all * sizes[tap]!, Math.ceil(sizes[form.k]! / STEP_K) * STEP_K);

/** Schedules for a program at these sizes, likeliest first, or why sm_90a has no skeleton for it. */
export function cudaSchedules(
  program: TileProgram,
  sizes: AxisSizes,
  multiprocessors: number,
): readonly CudaSchedule[] | Cannot {
  const form = matchCanonical(program);
  if (isCannot(form)) return form;
  if (form.kind !== "attention") {
    const width = widthOf(form, sizes);
    const schedules = matmulCandidates(aheadOf(form, width), productSizes(form, sizes, width), multiprocessors);
    return schedules.filter((schedule) => wholeHeadsReason(form, schedule, width) === undefined);
  }
  const [depth, valueDepth] = depthsOf(form, sizes);
  const schedules = attentionCandidates(form, depth, valueDepth);
  return schedules.length > 0
    ? schedules
    : cannot(`attention: no schedule holds a depth of ${depth} and ${valueDepth}`);
}

/**
 * The kernel of a program under a schedule. Sizes matter where they are in the text, attention's depths, or where blocks
 * share an axis.
 * @param parts heads of a result that lies in several tensors, those of each
 */
export function renderCuda(
  program: TileProgram,
  schedule: CudaSchedule,
  sizes: AxisSizes,
  parts: readonly number[] = [],
): CudaKernel | Cannot {
  const form: CanonicalForm | Cannot = matchCanonical(program);
  if (isCannot(form)) return form;
  if (form.kind !== "attention" && schedule.kind === "matmul") {
    if ((form.kind === "conv") !== (schedule.patch !== undefined)) return cannot("patches are of pictures, and all pictures go by patches"); // prettier-ignore
    const width = widthOf(form, sizes);
    const checked = checkMatmul(schedule, aheadOf(form, width));
    const { split = 1 } = schedule;
    if (split > 1 && !(contracted(form, sizes) >= split * STEP_K))
      return cannot(`${contracted(form, sizes)} steps are too few for ${split} blocks`);
    const reason = wholeHeadsReason(form, schedule, width);
    if (reason !== undefined) return cannot(reason);
    return isCannot(checked) ? checked : renderMatmul(form, checked, width, parts);
  }
  if (form.kind === "attention" && schedule.kind === "attention") {
    const [depth, valueDepth] = depthsOf(form, sizes);
    const checked = checkAttention(schedule, depth, valueDepth);
    return isCannot(checked) ? checked : renderAttention(form, checked, { depth, valueDepth });
  }
  return cannot(`a ${schedule.kind} schedule does not fit a ${form.kind} loop`);
}
