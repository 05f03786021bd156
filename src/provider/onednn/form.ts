// A form: one way in which oneDNN computes a region, as stages of primitives over places. Forms are cheap descriptions
// (no code is generated yet); `candidateOf` turns one into the contract's candidate, `build` into a kernel.
import { dtypeBytes } from "../../core/dtype.js";
import { TroupeError } from "../../core/error.js";
import { sizeOf } from "../../core/shape.js";
import type { Address, Step } from "../../device/device.js";
import { copyFunction, NativeMemory } from "../../device/native/memory.js";
import { NativeScope } from "../../device/native/scope.js";
import type { Params } from "../../graph/node.js";
import type { Operand, Region } from "../../graph/region.js";
import { runSteps, type Runs } from "../native/runs.js";
import type { Strided } from "../native/strided.js";
import {
  isCannot,
  type Binding,
  type Candidate,
  type Cannot,
  type Kernel,
  type Layout,
  type Pack,
} from "../provider.js";
import type { OneDnn, Packed, Primitive, Tensor } from "./binding.js";
import { ARG, DATA_TYPE, STATUS, type DnnDType } from "./constants.js";

/** Where an argument of a stage lies. Inputs that are packed are read in their packed form. */
export type Place =
  | { readonly input: number }
  | { readonly output: number }
  | { readonly temporary: number }
  | { readonly constant: NativeMemory };

export interface Stage {
  readonly name: string;
  readonly primitive: Primitive;
  readonly args: readonly (readonly [argument: number, place: Place])[];
}

/** An input that is reordered once, from the dense tensor `from` to what `to` says. */
export interface Packing {
  readonly input: number;
  readonly from: Tensor;
  readonly to: Packed | Tensor;
  readonly recipe: string;
  readonly bytes: number;
}

export interface Form {
  readonly id: string;
  readonly params: Params;
  readonly inputLayouts?: readonly Layout[];
  readonly outputLayouts?: readonly Layout[];
  readonly aliases?: Candidate["aliases"];
  readonly packings?: readonly Packing[];
  readonly temporaryBytes?: readonly number[];
  /** The result's window is filled from the dense temporary of this number at the end. */
  readonly endsFrom?: { readonly temporary: number; readonly runs: Runs };
  /** The result starts as a copy of this input, unless it lies there already. */
  readonly startsAs?: number;
  readonly stages: readonly Stage[];
  /** What the form owns beside its primitives. */
  readonly scope?: NativeScope;
}

/** Makes a form from stored parameters. */
export type Maker = (dnn: OneDnn, region: Region, params: Params) => Form | Cannot;

/** An operand as oneDNN sees it, in its default layout or another; "cannot" for dtypes it does not have. */
export function tensorOf(operand: Operand, { shape, strides }: Strided = operand): Tensor {
  return { dims: shape, strides, dtype: operand.dtype as DnnDType };
}

export const unsupportedDType = (region: Region): Cannot | undefined => {
  const odd = [...region.inputs, ...region.outputs].find(({ dtype }) => !(dtype in DATA_TYPE));
  return odd && { cannot: `oneDNN 2 has no ${odd.dtype} on the CPU` };
};

/** A packing into the layout that `primitive` chose for its weights. */
export function packWeights(input: number, from: Tensor, primitive: Primitive): Packing {
  const to = primitive.packed("weights");
  return { input, from, to, recipe: `dnnl:${to.layout}`, bytes: to.bytes };
}

/** A packing of a vector into f32, which scale and shift must be. */
export const packF32 = (input: number, from: Tensor): Packing => ({
  input,
  from,
  to: { ...from, dtype: "f32" },
  recipe: "f32",
  bytes: sizeOf(from.dims) * 4,
});

export function disposeForm(form: Form): void {
  for (const stage of form.stages) stage.primitive[Symbol.dispose]();
  form.scope?.dispose();
}

/** The candidate of a form; the form is disposed of and made again by `build`. */
export function candidateOf(dnn: OneDnn, region: Region, maker: Maker, params: Params): Candidate | Cannot {
  const form = dnn.attempt(() => maker(dnn, region, params));
  if (isCannot(form)) return form;
  const slow = form.stages.find((stage) => stage.primitive.implementation.startsWith("ref"));
  const packs: Pack[] = (form.packings ?? []).map(({ input, recipe, bytes }) => ({ input, recipe, bytes }));
  const { workspaceBytes } = spaceOf(form);
  disposeForm(form);
  if (slow) return { cannot: `oneDNN ${dnn.version} has only its unoptimised reference for ${slow.name} here` };
  return {
    provider: "onednn",
    id: form.id,
    params: form.params,
    layouts: {
      inputs: form.inputLayouts ?? region.inputs.map(() => undefined),
      outputs: form.outputLayouts ?? region.outputs.map(() => undefined),
    },
    aliases: form.aliases ?? [],
    packs,
    workspaceBytes,
    accumulation: "f32",
    capturable: false,
    build: async () => {
      const made = dnn.attempt(() => maker(dnn, region, params));
      if (isCannot(made)) throw new TroupeError("provider", made.cannot);
      for (const { primitive } of made.stages) primitive.create();
      return new FormKernel(dnn, region, made);
    },
  };
}

const ALIGNMENT_BYTES = 64;
const aligned = (bytes: number): number => Math.ceil(bytes / ALIGNMENT_BYTES) * ALIGNMENT_BYTES;

/** One scratchpad for all stages, then the temporaries. */
function spaceOf(form: Form): { readonly workspaceBytes: number; readonly offsets: readonly number[] } {
  let at = aligned(Math.max(0, ...form.stages.map(({ primitive }) => primitive.scratchpadBytes)));
  const offsets = (form.temporaryBytes ?? []).map((bytes) => {
    const offset = at;
    at += aligned(bytes);
    return offset;
  });
  return { workspaceBytes: at, offsets };
}

class FormKernel implements Kernel {
  readonly #scope = new NativeScope();

  constructor(
    private readonly dnn: OneDnn,
    private readonly region: Region,
    private readonly form: Form,
  ) {}

  pack(index: number, from: Address, to: Address): void {
    const packing = this.form.packings?.[index];
    if (!packing) throw new TroupeError("internal", `oneDNN ${this.form.id} has no pack ${index}`);
    const reorder = this.dnn.reorder(packing.from, packing.to);
    if (isCannot(reorder)) throw new TroupeError("provider", reorder.cannot);
    const scratchpad = new NativeMemory(reorder.scratchpadBytes, "none");
    const table = new Map([[ARG.src, from], [ARG.dst, to]] as [number, bigint][]); // prettier-ignore
    if (reorder.scratchpadBytes > 0) table.set(ARG.scratchpad, scratchpad.address);
    this.dnn.run(reorder, table);
    reorder[Symbol.dispose]();
    scratchpad.dispose();
  }

  bind(binding: Binding): readonly Step[] {
    const { form } = this;
    const { offsets } = spaceOf(form);
    const addressOf = (place: Place): bigint => {
      if ("input" in place) return binding.inputs[place.input]!;
      if ("output" in place) return binding.outputs[place.output]!;
      if ("constant" in place) return place.constant.address;
      return binding.workspace + BigInt(offsets[place.temporary]!);
    };
    const steps = form.stages.map((stage): Step => {
      const table = new Map(stage.args.map(([argument, place]) => [argument, addressOf(place)]));
      if (stage.primitive.scratchpadBytes > 0) table.set(ARG.scratchpad, binding.workspace);
      return {
        kind: "native",
        name: `oneDNN ${stage.name} ${stage.primitive.implementation}`,
        fn: this.dnn.execute,
        words: stage.primitive.words(this.#scope, table),
        status: "zero",
        explain: (status) => `oneDNN says: ${STATUS[Number(BigInt.asIntN(32, status))] ?? `status ${status}`}`,
      };
    });
    const started = form.startsAs === undefined ? steps : [...this.#start(binding, form.startsAs), ...steps];
    if (!form.endsFrom) return started;
    const where = { window: binding.outputs[0]!, copy: addressOf({ temporary: form.endsFrom.temporary }) };
    return [...started, ...runSteps(form.endsFrom.runs, this.region.outputs[0]!.dtype, where, "out")];
  }

  #start(binding: Binding, input: number): readonly Step[] {
    const [from, to] = [binding.inputs[input]!, binding.outputs[0]!];
    if (from === to) return [];
    const { shape, dtype } = this.region.outputs[0]!;
    const bytes = sizeOf(shape) * dtypeBytes(dtype);
    return [{ kind: "native", name: "copy residual", fn: copyFunction(), words: [to, from, bytes], status: "ignored" }];
  }

  dispose(): void {
    this.#scope.dispose();
    disposeForm(this.form);
  }
}
