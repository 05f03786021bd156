// The kernels of a task for the general lowering on CUDA: those of the CPU but where a device wants more programs.
import { sizeOf } from "../../core/shape.js";
import { convNormForms } from "../../kernel/conv-norm.js";
import { groupNormSplitForms, pixelsOf } from "../../kernel/group-norm-split.js";
import { headProjectionParts } from "../../kernel/head-projection.js";
import type { KernelForm } from "../../kernel/sheet.js";
import type { Task } from "../../kernel/task.js";
import type { GeneralSchedule } from "../../lower/cuda/general.js";
import { upsampleConvForms } from "../../kernel/upsample-conv.js";
import { familyOf } from "./families.js";
import { PLAIN } from "./space.js";

/** A kernel to be lowered, with the blocks that are not left to the rules. */
export interface Staging extends GeneralSchedule {
  readonly form: KernelForm;
}

/** Kernels of a group norm; behind a convolution, which gathers what it needs to know, as many join that and normalise. */
export const NORM_STAGES = 3;
/** Parts that a group norm's pixels are dealt to, and elements that a part should have at least. */
const MOST_PARTS = 1024;
const PART_ELEMENTS = 8192;

/** The kernels of a task for the general lowering. Throws where its shapes do not fit them. */
export function stagesOf(task: Task): readonly Staging[] {
  if (task.head.op === "group_norm") {
    const [x] = task.inputs;
    const { along, size } = pixelsOf(task);
    const each = sizeOf(x!.shape) / x!.shape[0]! / size;
    const isTurned = x!.strides[1] === 1;
    const G = isTurned ? Number(task.head.params["groups"]) : 1;
    const pixels = Math.max(Math.ceil(size / MOST_PARTS), Math.ceil(PART_ELEMENTS / each));
    const [statistics, merge, apply] = groupNormSplitForms(task, Math.ceil(size / pixels));
    return [
      // What wrote the image ended at its end, and what applies these begins at its beginning.
      { form: statistics, blocks: { G, [along]: pixels }, backwards: true },
      { form: merge, blocks: { G: 1 } },
      { form: apply, blocks: isTurned ? { G, X: pixels } : {} },
    ];
  }
  if (task.norm) {
    const { convolutions, lines, merge, apply } = convNormForms(task);
    const [, , { blocks }] = stagesOf(task.norm) as readonly [Staging, Staging, Staging];
    const G = Number(task.norm.head.params["groups"]);
    return [
      ...convolutions.map((form) => ({ form, blocks: form.blocks! })),
      { form: lines, blocks: { G } },
      { form: merge, blocks: { G: 1 } },
      // The convolution ended at the image's end.
      { form: apply, blocks, backwards: true },
    ];
  }
  if (task.heads) return headProjectionParts(task).map((form) => ({ form, blocks: {} }));
  if (task.doubles) return upsampleConvForms(task).map((form) => ({ form, blocks: {} }));
  return familyOf(task.head)!.forms(task, PLAIN).map((form) => ({ form, blocks: {} })); // prettier-ignore
}
