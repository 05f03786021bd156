// Our kernels as a provider on CUDA: tensor-core skeletons where the text is a canonical loop, the general lowering for
// everything, so that no op is missing.
import { dtypeBytes } from "../../core/dtype.js";
import { messageOf } from "../../core/error.js";
import { sizeOf } from "../../core/shape.js";
import { compileCudaAside, cudaCompiler } from "../../device/cuda/compile.js";
import type { CudaDevice } from "../../device/cuda/device.js";
import type { CudaKernel } from "../../device/cuda/kernel.js";
import { bindReason } from "../../device/cuda/launch.js";
import { cudaDevice, whyNoCudaDevice } from "../../device/cuda/target.js";
import type { Target } from "../../device/device.js";
import type { NodeId, Params } from "../../graph/node.js";
import { bytesMoved, hasTrait } from "../../graph/op.js";
import { opOf } from "../../graph/ops.js";
import type { Region, Regions } from "../../graph/region.js";
import { attentionHeadsForm, headsReason } from "../../kernel/attention-heads.js";
import { convNormForms } from "../../kernel/conv-norm.js";
import { headProjectionForm } from "../../kernel/head-projection.js";
import { layoutsOf, type KernelForm, type Parameter } from "../../kernel/sheet.js";
import type { Located, Task } from "../../kernel/task.js";
import { PHASES, upsampleConvForms } from "../../kernel/upsample-conv.js";
import type { BlockProgram } from "../../lower/cuda/block-program.js";
import { lowerToBlock } from "../../lower/cuda/general.js";
import { matmulWorkspaceBytes, STEP_K } from "../../lower/cuda/schedule.js";
import { cudaSchedules, renderCuda, type CudaSchedule } from "../../render/cuda/canonical.js";
import { chainPatterns } from "../native/chain.js";
import { GPU_BYTES_PER_US, GPU_FLOPS_PER_US, gpuUs, movingUs } from "../native/gpu-model.js";
import { declared } from "../native/host-pack.js";
import { isCannot, type Candidate, type Cannot, type Choice, type Effort, type Kernel, type Provider } from "../provider.js"; // prettier-ignore
import { begin, labelOf, type Beginning } from "./begin.js";
import {
  bindingsOf,
  GeneralKernel,
  partsOf,
  SkeletonKernel,
  sourceOf,
  StagedKernel,
  workspaceOf,
  type CudaWork,
  type Stage,
} from "./cuda-kernel.js";
import { beginConvNorm, convNormPatterns } from "./conv-norm.js";
import { NORM_STAGES, stagesOf, type Staging } from "./cuda-stages.js";
import { familyOf, isLink } from "./families.js";
import { withPackedFilters } from "./filters.js";
import { headPatterns, headsOf } from "./heads.js";
import { PLAIN, type Variant } from "./space.js";
import { asTheyLie } from "./task.js";
import { beginUpsampleConv, upsampleConvPatterns } from "./upsample-conv.js";

const NAME = "tile";
/** Raised when the same choice would compile to other code. */
const VERSION = "cuda 7";
const MOST_LINKS = 6;
const MOST_SCHEDULES: Readonly<Record<Effort, number>> = { none: 1, quick: 4, full: 20 };
/** Where an address is aligned as the device aligns them, a kernel's wishes can be asked before there is one. */
const SOME_ADDRESS = 4096n;

/** What a plan stores. */
type CudaVariant =
  | { readonly way: "general"; readonly channelsLast: boolean }
  | { readonly way: "skeleton"; readonly schedule: CudaSchedule };

const PLAINLY: CudaVariant = { way: "general", channelsLast: false };
const variantOf = ({ channelsLast }: { readonly channelsLast: boolean }): Variant => ({ ...PLAIN, channelsLast });

export function openCudaTile(target: Target): Provider | Cannot {
  const why = whyNoCudaDevice();
  if (why !== undefined) return { cannot: why };
  try {
    return new CudaTileProvider(cudaDevice(), target.isa.name, cudaCompiler().name);
  } catch (error) {
    return { cannot: messageOf(error) };
  }
}

class CudaTileProvider implements Provider {
  readonly name = NAME;
  readonly version: string;
  readonly #device: CudaDevice;
  readonly #architecture: string;

  constructor(device: CudaDevice, architecture: string, compiler: string) {
    this.#device = device;
    this.#architecture = architecture;
    this.version = `${VERSION}, ${compiler}`;
  }

  *patterns(regions: Regions): Generator<readonly NodeId[]> {
    for (const ids of chainPatterns(regions, (node) => familyOf(node)?.takesLinks ?? false, isLink))
      if (ids.length <= MOST_LINKS + 1) yield ids;
    for (const ids of upsampleConvPatterns(regions)) if (ids.length <= MOST_LINKS + 2) yield ids;
    for (const ids of convNormPatterns(regions)) if (ids.length <= MOST_LINKS + 3) yield ids;
    yield* headPatterns(regions);
  }

  candidates(region: Region, effort: Effort): readonly Candidate[] | Cannot {
    const found = this.#begin(region, PLAIN);
    if (isCannot(found)) return found;
    const turned = { way: "general", channelsLast: true } as const;
    const turns = this.#begin(region, variantOf(turned));
    const onSkeleton = beginSkeleton(found, turns);
    const skeletons = this.#schedules(onSkeleton.task, MOST_SCHEDULES[effort])
      .map((schedule) => this.#candidate(region, onSkeleton, { way: "skeleton", schedule })); // prettier-ignore
    const answers = [
      ...skeletons,
      this.#candidate(region, found, PLAINLY),
      ...(isCannot(turns) || !ofImages(turns.task) ? [] : [this.#candidate(region, turns, turned)]),
    ];
    const good = answers.filter((answer): answer is Candidate => !isCannot(answer));
    return good.length > 0 ? good : answers.find(isCannot)!;
  }

  revive(region: Region, choice: Choice): Candidate | Cannot {
    const { way, schedule, channelsLast } = choice.params as Partial<{ way: string; schedule: CudaSchedule; channelsLast: boolean }>; // prettier-ignore
    const general = { way: "general", channelsLast: channelsLast === true } as const;
    const found = this.#begin(region, variantOf(general));
    if (isCannot(found)) return found;
    if (way === "general") return this.#candidate(region, found, general);
    if (way === "skeleton" && schedule) return this.#candidate(region, beginSkeleton(found, this.#begin(region, variantOf({ channelsLast: true }))), { way, schedule }); // prettier-ignore
    return { cannot: `${choice.id} is no choice of ${NAME} ${this.version}` };
  }

  dispose(): void {}

  #begin(region: Region, variant: Variant): Beginning | Cannot {
    const task = headsOf(region);
    if (task && !variant.channelsLast) return { family: familyOf(task.head)!, task, layouts: asTheyLie(region) };
    return beginConvNorm(region, variant) ?? beginUpsampleConv(region, variant) ?? begin(region, variant);
  }

  /** The `most` likeliest schedules of the skeleton for a task; none where there is no skeleton. */
  #schedules(task: Task, most: number): readonly CudaSchedule[] {
    if (this.#architecture !== "sm_90a") return [];
    const forms = this.#skeletonForms(task);
    if (isCannot(forms)) return [];
    const schedules = cudaSchedules(forms[0]!.program, forms[0]!.sizes, this.#device.facts.multiprocessors);
    if (isCannot(schedules)) return [];
    const bound = forms.map((form) => ({ form, tensors: bindingsOf(form, () => SOME_ADDRESS) }));
    const fits = (schedule: CudaSchedule): boolean =>
      bound.every(({ form, tensors }) => {
        const kernel = renderCuda(form.program, schedule, form.sizes, partsOf(form));
        return !isCannot(kernel) && bindReason(kernel, tensors) === undefined;
      });
    const found: CudaSchedule[] = [];
    for (const schedule of schedules) {
      if (found.length === most) break;
      if (fits(schedule)) found.push(schedule);
    }
    return found;
  }

  /** The texts of a task in the form that skeletons recognise; several run one after another. */
  #skeletonForms(task: Task): readonly KernelForm[] | Cannot {
    if (task.norm) return convNormForms(task).convolutions;
    if (task.heads) return [headProjectionForm(task)];
    if (task.doubles) return upsampleConvForms(task);
    if (task.head.op !== "attention") return generalForm(task);
    const reason = headsReason(task);
    return reason === undefined ? [attentionHeadsForm(task)] : { cannot: reason };
  }

  #candidate(region: Region, { task, layouts, packs = [] }: Beginning, variant: CudaVariant): Candidate | Cannot {
    const device = this.#device;
    const isState = hasTrait(opOf(task.head), "state");
    const startsAs = isState ? { input: 0, bytes: sizeOf(task.output.shape) * dtypeBytes(task.output.dtype) } : undefined; // prettier-ignore
    const label = labelOf(region);
    // The general kernels stand by for a skeleton's operands that turn out to lie badly.
    let stages: readonly Stage[];
    try {
      stages = stagesOf(task).map((stage) => ({ form: stage.form, program: this.#lower(region, stage) }));
    } catch (error) {
      return { cannot: `the kernel of ${task.head.op} does not fit: ${messageOf(error)}` };
    }
    const { multiprocessors } = device.facts;
    const schedule = variant.way === "skeleton" ? variant.schedule : undefined;
    const least = schedule?.kind === "matmul" ? matmulWorkspaceBytes(schedule, multiprocessors) : 0;
    const { bytes: workspaceBytes, temporaries } = workspaceOf(stages, multiprocessors, least);
    // The last stages are those of a norm behind a convolution, and are named and computed like those of any norm.
    const first = task.norm ? stages.length - NORM_STAGES : stages.length;
    const place = task.norm ? region.nodes.indexOf(task.norm.head) : region.nodes.length;
    const nameOf = (i: number): string => labelOf({ nodes: i < first ? region.nodes.slice(0, place) : region.nodes.slice(place) }); // prettier-ignore
    const workOf = (form: KernelForm, i: number): CudaWork => ({ name: nameOf(i), device, architecture: this.#architecture, temporaries, form, ...(i === 0 && { startsAs }) }); // prettier-ignore
    const general = async (): Promise<Kernel> =>
      new StagedKernel(device, packs, await Promise.all(stages.map(({ form, program }, i) => GeneralKernel.build(workOf(form, i), program)))); // prettier-ignore
    const now = ({ form, program }: Stage, i: number): Kernel => GeneralKernel.now(workOf(form, i), program);
    const generalNow = (): Kernel => new StagedKernel(device, packs, stages.map(now));
    const skeletons = (): readonly { readonly form: KernelForm; readonly kernel: CudaKernel }[] => {
      const forms = variant.way === "skeleton" ? this.#skeletonForms(task) : [];
      if (variant.way === "general" || isCannot(forms)) return [];
      const kernels = forms.map((form) => renderCuda(form.program, variant.schedule, form.sizes, partsOf(form)));
      return kernels.some(isCannot) ? [] : forms.map((form, i) => ({ form, kernel: kernels[i] as CudaKernel }));
    };
    const build = async (): Promise<Kernel> => {
      const found = skeletons();
      const otherwise = (i: number) => (first === found.length ? () => now(stages[i]!, i) : generalNow);
      const built = found.map(({ form, kernel }, i): Promise<Kernel> => SkeletonKernel.build(workOf(form, i), kernel, otherwise(i))); // prettier-ignore
      const rest = stages.slice(first).map(({ form, program }, i) => GeneralKernel.build(workOf(form, first + i), program)); // prettier-ignore
      return built.length > 0 ? new StagedKernel(device, packs, await Promise.all([...built, ...rest])) : general();
    };
    const warm = (): Promise<unknown> => {
      const found = skeletons();
      const rest = found.length > 0 ? first : 0;
      const sources = [...found.map(({ kernel }) => kernel.source), ...stages.slice(rest).map(({ form, program }, i) => sourceOf(workOf(form, rest + i), program))]; // prettier-ignore
      return Promise.all(sources.map((source) => compileCudaAside(source, this.#architecture)));
    };
    return {
      provider: NAME,
      id: idOf(label, variant),
      params: variant as unknown as Params,
      layouts,
      aliases: isState ? [{ output: 0, input: 0 }] : [],
      packs: packs.map(declared),
      workspaceBytes,
      accumulation: "f32",
      capturable: true,
      estimateUs: estimateOf(region, task, variant),
      isPlain: variant.way === "general" && !variant.channelsLast && !task.doubles && !task.norm,
      warm,
      build,
    };
  }

  #lower(region: Region, { form, ...schedule }: Staging): BlockProgram {
    const layouts = layoutsOf(form);
    const alignments = Object.fromEntries(
      form.parameters.map(({ name, source }) => [name, alignmentOf(source, region)]),
    );
    return lowerToBlock(form.program, { sizes: form.sizes, layouts, alignments }, schedule, this.#device.facts.multiprocessors); // prettier-ignore
  }
}

/** A region as a skeleton takes it: of convolutions, with channels innermost in pictures, as it was `turned`, and filters. */
function beginSkeleton(found: Beginning, turned: Beginning | Cannot): Beginning {
  if (found.task.head.op !== "conv2d") return found;
  const begun = isCannot(turned) ? found : turned;
  return begun.task.doubles ? begun : { ...begun, ...withPackedFilters(begun.task) };
}

/** Temporaries lie on boundaries of the workspace. */
const TEMPORARY_BYTES = 256;

function alignmentOf(source: Parameter["source"], { inputs, outputs }: Region): number {
  if ("temporary" in source) return TEMPORARY_BYTES;
  const { alignmentBytes } = "input" in source ? inputs[source.input]! : outputs[source.output]!;
  const { offsetBytes = 0 } = source;
  return offsetBytes === 0 ? alignmentBytes : Math.min(alignmentBytes, offsetBytes & -offsetBytes);
}

/** A group norm's picture is read twice; behind a convolution it is read once, after that. */
function estimateOf(region: Region, task: Task, variant: CudaVariant): number {
  const { head, doubles, norm, inputs: [x], output } = task; // prettier-ignore
  const bytesOf = (...operands: readonly Located[]): number => bytesMoved(operands, dtypeBytes);
  const outputs = norm ? [output] : region.outputs;
  const us = gpuUs({ ...region, outputs }, rateOf(task, variant), doubles ? PHASES.length : 1, bytesRateOf(task, variant)); // prettier-ignore
  if (head.op === "group_norm") return us + movingUs(bytesOf(x!), NORM_STAGES - 1);
  return norm ? us + movingUs(bytesOf(output, norm.output), NORM_STAGES) : us;
}

/** Of the operations that the ops say. Products of the general lowering are computed one by one; phases make 16 of 36. */
function rateOf({ head, inputs, doubles, norm }: Task, variant: CudaVariant): number {
  const contracts = ["linear", "matmul", "attention", "conv2d", "paged_attention"].includes(head.op);
  const saved = doubles ? 36 / 16 : 1;
  if (variant.way === "general") return contracts ? GPU_FLOPS_PER_US.plain * saved : GPU_FLOPS_PER_US.vector;
  if (head.op === "conv2d")
    return GPU_FLOPS_PER_US[norm ? "ownNormedConvolution" : "ownConvolution"] * saved * fullness(inputs[0]!.shape[1]!);
  if (head.op === "attention") return GPU_FLOPS_PER_US.ownAttention;
  return variant.schedule.kind === "matmul" && variant.schedule.turns
    ? GPU_FLOPS_PER_US.ownTurns
    : GPU_FLOPS_PER_US.tensor;
}

/** The share of a convolution's steps that are channels: a step multiplies so many, whether there are or not. */
const fullness = (channels: number): number => channels / (Math.ceil(channels / STEP_K) * STEP_K);

/** Our convolutions come closer to what memory gives than the first that cuDNN names (bench/cuda-tables.md, 1x1). */
const bytesRateOf = ({ head }: Task, { way }: CudaVariant): number =>
  GPU_BYTES_PER_US[way === "skeleton" && head.op === "conv2d" ? "ownConvolution" : "any"];

/** Whether the first dim after the batch may be channels: of pictures, not of heads. */
const ofImages = ({ head }: Task): boolean =>
  ["conv2d", "group_norm", "upsample_nearest"].includes(head.op) || hasTrait(opOf(head), "pointwise");

/** The one kernel of a task as it is on the CPU, without packed weights. */
function generalForm(task: Task): readonly KernelForm[] | Cannot {
  const family = familyOf(task.head);
  if (!family) return { cannot: `there is no kernel for ${task.head.op}` };
  try {
    const [form, ...more] = family.forms(task, PLAIN);
    return form && more.length === 0 ? [form] : { cannot: `${task.head.op} takes several kernels` };
  } catch (error) {
    return { cannot: `the kernel of ${task.head.op} does not fit: ${messageOf(error)}` };
  }
}

function idOf(label: string, variant: CudaVariant): string {
  if (variant.way === "general") return `${label} general${variant.channelsLast ? ", channels last" : ""}`;
  const { schedule } = variant;
  return schedule.kind === "matmul"
    ? `${label} wgmma ${schedule.blockM}x${schedule.blockN} ring ${schedule.stages} rows ${schedule.groupM}${schedule.cluster > 1 ? " pairs" : ""}${schedule.split ? ` split ${schedule.split}` : ""}${schedule.sharesTail ? ", tail shared" : ""}${schedule.turns ? ", turns" : ""}${schedule.fetchesTables ? ", tables fetched" : ""}${schedule.patch ? `, patches ${schedule.patch} wide` : ""}`
    : `${label} wgmma ${schedule.consumers * 64} queries ${schedule.blockKeys} keys${schedule.pingPong ? ", turns" : ""}`;
}
