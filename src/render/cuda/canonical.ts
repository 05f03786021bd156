// From a tile program to CUDA kernels: the one way in. Anything that is no canonical loop comes back as a reason.
import type { CudaKernel } from "../../device/cuda/kernel.js";
import { cannot, isCannot, type AttentionForm, type Cannot, type CanonicalForm } from "../../lower/cuda/form.js";
import { matchCanonical } from "../../lower/cuda/match.js";
import { prefetchedLoad } from "../../lower/cuda/match-matmul.js";
import {
  checkAttention,
  checkMatmul,
  STEP_K,
  type AttentionSchedule,
  type MatmulSchedule,
} from "../../lower/cuda/schedule.js";
import { attentionCandidates, matmulCandidates } from "../../lower/cuda/space.js";
import type { TileProgram } from "../../tile/program.js";
import { renderAttention } from "./attention.js";
import { renderMatmul } from "./matmul.js";

export type CudaSchedule = MatmulSchedule | AttentionSchedule;
/** Size of every axis by name. */
export type AxisSizes = Readonly<Record<string, number>>;

const depthsOf = (form: AttentionForm, sizes: AxisSizes): readonly [number, number] => [
  sizes[form.depth] ?? 0,
  sizes[form.valueDepth] ?? 0,
];

/** Schedules for a program at these sizes, likeliest first, or why sm_90a has no skeleton for it. */
export function cudaSchedules(
  program: TileProgram,
  sizes: AxisSizes,
  multiprocessors: number,
): readonly CudaSchedule[] | Cannot {
  const form = matchCanonical(program);
  if (isCannot(form)) return form;
  if (form.kind === "matmul")
    return matmulCandidates(
      form,
      {
        m: sizes[form.m.axis]!,
        n: sizes[form.n.axis]!,
        k: sizes[form.k]!,
        batch: form.outer ? sizes[form.outer.axis]! : 1,
      },
      multiprocessors,
    );
  const [depth, valueDepth] = depthsOf(form, sizes);
  const schedules = attentionCandidates(form, depth, valueDepth);
  return schedules.length > 0
    ? schedules
    : cannot(`attention: no schedule holds a depth of ${depth} and ${valueDepth}`);
}

/** The kernel of a program under a schedule. Sizes matter where they are in the text, attention's depths, or where blocks share an axis. */
export function renderCuda(program: TileProgram, schedule: CudaSchedule, sizes: AxisSizes): CudaKernel | Cannot {
  const form: CanonicalForm | Cannot = matchCanonical(program);
  if (isCannot(form)) return form;
  if (form.kind === "matmul" && schedule.kind === "matmul") {
    const checked = checkMatmul(schedule, prefetchedLoad(form) !== undefined);
    const { split = 1 } = schedule;
    if (split > 1 && !(sizes[form.k]! >= split * STEP_K))
      return cannot(`${sizes[form.k]} steps are too few for ${split} blocks`);
    return isCannot(checked) ? checked : renderMatmul(form, checked);
  }
  if (form.kind === "attention" && schedule.kind === "attention") {
    const [depth, valueDepth] = depthsOf(form, sizes);
    const checked = checkAttention(schedule, depth, valueDepth);
    return isCannot(checked) ? checked : renderAttention(form, checked, { depth, valueDepth });
  }
  return cannot(`a ${schedule.kind} schedule does not fit a ${form.kind} loop`);
}
