// One candidate of one or several kernels that run one after another. The workspace has the scratch memory first, which
// they share, then each temporary by itself.
import { dtypeBytes, type DType } from "../../core/dtype.js";
import { invariant } from "../../core/error.js";
import { layoutOf, type KernelForm, type Packing } from "../../kernel/sheet.js";
import { lowerToThreads } from "../../lower/cpu/lower.js";
import { panelLayout, type Layout } from "../../lower/layout.js";
import type { CpuSchedule, CpuTarget } from "../../lower/schedule.js";
import type { ThreadProgram } from "../../lower/thread.js";

export interface Lowered {
  /** In the order of the forms, which is that of their runs. */
  readonly programs: readonly ThreadProgram[];
  /** Byte offset in the workspace of every temporary, by name. */
  readonly temporaries: ReadonlyMap<string, number>;
  readonly workspaceBytes: number;
}

export interface Packed {
  readonly packing: Packing;
  readonly dtype: DType;
}

/** Throws TroupeError("compile") where the schedule does not fit one of the forms. */
export function lowerForms(forms: readonly KernelForm[], schedule: CpuSchedule, target: CpuTarget): Lowered {
  const programs = forms.map((form) => lowerForm(form, schedule, target));
  let bytes = Math.max(0, ...programs.map(({ scratchBytes, threads }) => scratchBytes * threads));
  const temporaries = new Map<string, number>();
  for (const [name, own] of temporaryBytes(forms)) {
    temporaries.set(name, bytes);
    bytes += Math.ceil(own / ALIGNMENT_BYTES) * ALIGNMENT_BYTES;
  }
  return { programs, temporaries, workspaceBytes: bytes };
}

/** A cache line: two temporaries never share one. */
const ALIGNMENT_BYTES = 64;

/** Bytes of every temporary; the kernel that reads one must see it as its writer did. */
function temporaryBytes(forms: readonly KernelForm[]): ReadonlyMap<string, number> {
  const found = new Map<string, { readonly dtype: DType; readonly elements: number }>();
  for (const { program, parameters } of forms)
    for (const { source, dtype, mode } of parameters) {
      if (!("temporary" in source)) continue;
      const { temporary: name, elements } = source;
      const known = found.get(name);
      invariant(known || mode === "out", `${program.name} reads ${name}, which no kernel before it writes`);
      invariant(!known || (known.dtype === dtype && known.elements === elements), `${program.name} takes ${name} for another than it is`); // prettier-ignore
      found.set(name, { dtype, elements });
    }
  return new Map([...found].map(([name, { dtype, elements }]) => [name, elements * dtypeBytes(dtype)]));
}

/** The packed weights of all forms, in their order. */
export const packsOf = (forms: readonly KernelForm[]): readonly Packed[] =>
  forms.flatMap(({ packings, parameters }) =>
    Object.entries(packings).map(([name, packing]) => ({
      packing,
      dtype: parameters.find((parameter) => parameter.name === name)!.dtype,
    })),
  );

function lowerForm(form: KernelForm, schedule: CpuSchedule, target: CpuTarget): ThreadProgram {
  const layouts: Record<string, Layout> = {};
  for (const parameter of form.parameters) {
    const packing = form.packings[parameter.name];
    layouts[parameter.name] = packing ? panelLayout(packing.shape, packing.panels).layout : layoutOf(parameter);
  }
  return lowerToThreads(form.program, { sizes: form.sizes, layouts }, schedule, target);
}
