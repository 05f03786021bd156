// Our own kernels as a provider: every op of the graph by itself, and with the pointwise ops that follow it; compiled
// from the tile language through C. The first candidate of a one-op region is the plain plan.
import { openmpSettings } from "../../core/debug.js";
import { dtypeBytes } from "../../core/dtype.js";
import { messageOf } from "../../core/error.js";
import { hashOf } from "../../core/hash.js";
import { isContiguous, sameShape, sizeOf } from "../../core/shape.js";
import { findCompiler, type Compiler } from "../../device/cpu/compile.js";
import type { Target } from "../../device/device.js";
import type { NodeId } from "../../graph/node.js";
import { hasTrait } from "../../graph/op.js";
import { opOf } from "../../graph/ops.js";
import type { Operand, Region, Regions } from "../../graph/region.js";
import { noiseSource } from "../../kernel/noise.js";
import type { KernelForm } from "../../kernel/sheet.js";
import type { Task } from "../../kernel/task.js";
import type { CpuTarget } from "../../lower/schedule.js";
import { verifyThreads } from "../../lower/verify.js";
import { cFile, renderC } from "../../render/c/program.js";
import { chainPatterns } from "../native/chain.js";
import { isCannot, type Candidate, type Cannot, type Choice, type Effort, type Provider, type ProviderFactory, type Way } from "../provider.js"; // prettier-ignore
import { begin, labelOf } from "./begin.js";
import { openCudaTile } from "./cuda.js";
import { familyOf, isLink, productSizesOf, type Family } from "./families.js";
import { buildKernel, symbolOf } from "./kernel.js";
import { packedBytes, recipeOf } from "./pack.js";
import { methodOf, nameOf, paramsOf, PLAIN, productVariants, tilingOf, variantOf, type Variant } from "./space.js";
import { lowerForms, packsOf, type Lowered } from "./stages.js";
import { asTheyLie } from "./task.js";

const NAME = "tile";
/** Raised when the same choice would compile to other code. */
const VERSION = "6";
const MOST_LINKS = 6;

class TileProvider implements Provider {
  readonly name = NAME;
  readonly version: string;
  readonly #compiler: Compiler;
  readonly #target: CpuTarget;

  constructor(compiler: Compiler, target: CpuTarget) {
    this.#compiler = compiler;
    this.#target = target;
    this.version = `${VERSION}, ${compiler.version}, flags ${hashOf(compiler.flags.join(" ")).slice(0, 8)}${openmpSettings()}`;
  }

  *patterns(regions: Regions): Generator<readonly NodeId[]> {
    for (const ids of chainPatterns(regions, (node) => familyOf(node)?.takesLinks ?? false, isLink))
      if (ids.length <= MOST_LINKS + 1) yield ids;
  }

  candidates(region: Region, effort: Effort): readonly Candidate[] | Cannot {
    const noise = this.#noise(region);
    if (noise) return isCannot(noise) ? noise : [noise];
    const found = begin(region, PLAIN);
    if (isCannot(found)) return found;
    const { family, task } = found;
    const traced = new Map<string, readonly KernelForm[]>();
    const offered = family.variants(task, region, this.#target, effort).map((variant) => this.#candidate(region, variant, traced)); // prettier-ignore
    const good = offered.filter((answer): answer is Candidate => !isCannot(answer));
    return good.length > 0 ? good : (offered.find(isCannot) ?? { cannot: "no schedule fits" });
  }

  waysAt(region: Region): (rows: number) => readonly Way[] {
    const found = begin(region, PLAIN);
    if (isCannot(found) || found.task.head.op !== "linear") return () => [];
    const sizes = productSizesOf(found.task);
    return (rows) =>
      productVariants({ ...sizes, M: rows }, this.#target, "full").map((variant) => {
        const tiling = tilingOf(variant, this.#target);
        return { method: methodOf(variant), ...(tiling && { tiling }) };
      });
  }

  revive(region: Region, choice: Choice): Candidate | Cannot {
    const noise = this.#noise(region);
    if (noise) return noise;
    const variant = variantOf(choice.params);
    return variant
      ? this.#candidate(region, variant)
      : { cannot: `${choice.id} is no choice of ${NAME} ${this.version}` };
  }

  dispose(): void {}

  /** @param traced the texts of the region's other candidates, by what they depend on: any schedule takes the same text */
  #candidate(region: Region, variant: Variant, traced = new Map<string, readonly KernelForm[]>()): Candidate | Cannot {
    const found = begin(region, variant);
    if (isCannot(found)) return found;
    const { family, task, layouts } = found;
    const text = JSON.stringify({ ...variant, schedule: undefined });
    let forms: readonly KernelForm[];
    try {
      traced.set(text, (forms = traced.get(text) ?? family.forms(task, variant)));
    } catch (error) {
      return { cannot: `the kernel of ${task.head.op} does not fit: ${messageOf(error)}` };
    }
    const compiler = this.#compiler;
    const target = this.#target;
    const packs = packsOf(forms);
    let lowered: Lowered | undefined;
    const lower = (): Lowered => (lowered ??= lowerForms(forms, variant.schedule, target));
    const label = labelOf(region);
    const tiling = tilingOf(variant, target);
    return {
      provider: NAME,
      id: nameOf(label, variant),
      params: paramsOf(variant),
      layouts,
      aliases: aliasesOf(region, task, family),
      packs: packs.map(({ packing, dtype }) => ({ input: packing.input, recipe: recipeOf(packing), bytes: packedBytes(packing, dtype) })), // prettier-ignore
      get workspaceBytes() {
        return lower().workspaceBytes;
      },
      accumulation: "f32",
      capturable: true,
      method: methodOf(variant),
      ...(tiling && { tiling }),
      async build(signal) {
        const { programs, temporaries } = lower();
        programs.forEach(verifyThreads);
        const sources = programs.map((program) => {
          const symbol = symbolOf(renderC(program, "kernel").text);
          return renderC(program, symbol);
        });
        const stages = programs.map((program, i) => ({
          name: programs.length > 1 ? `${label}: ${program.name}` : label,
          symbol: sources[i]!.symbol,
          operands: forms[i]!.parameters.map(({ source }) => source),
          usesScratch: program.scratchBytes > 0,
        }));
        const distinct = [...new Map(sources.map((source) => [source.symbol, source])).values()];
        const state = hasTrait(opOf(task.head), "state") ? { startsAs: { input: 0, bytes: bytesOf(task.output) } } : {};
        const what = { name: label, source: cFile(distinct), stages, temporaries, packs, ...state };
        return buildKernel(compiler, what, signal);
      },
    };
  }

  /** The one op whose kernel is C from the start. */
  #noise(region: Region): Candidate | Cannot | undefined {
    const [node, ...more] = region.nodes;
    if (node?.op !== "random_normal" || more.length > 0) return undefined;
    const [output] = region.outputs as readonly [Operand];
    if (!isContiguous(output.shape, output.strides)) return { cannot: "noise is written dense" };
    const { stream } = node.params as { stream: number };
    const symbol = symbolOf(`noise ${sizeOf(output.shape)} ${stream}`);
    const source = noiseSource(symbol, sizeOf(output.shape), stream);
    const stages = [{ name: "random_normal", symbol, operands: [{ input: 0 }, { output: 0 }], usesScratch: false }];
    return {
      provider: NAME,
      id: "random_normal",
      params: paramsOf(PLAIN),
      layouts: asTheyLie(region),
      aliases: [],
      packs: [],
      workspaceBytes: 0,
      accumulation: "f64",
      capturable: true,
      build: (signal) => buildKernel(this.#compiler, { name: "random_normal", source, stages, temporaries: new Map(), packs: [] }, signal), // prettier-ignore
    };
  }
}

const bytesOf = ({ shape, dtype }: Task["output"]): number => sizeOf(shape) * dtypeBytes(dtype);

/** Inputs that the result may replace: they are read, element by element, right where the result is written. */
function aliasesOf(region: Region, task: Task, family: Family): Candidate["aliases"] {
  const output = task.output;
  const free = new Set<number>();
  const consider = (input: number): void => {
    const operand = region.inputs[input]!;
    const located = [...task.inputs, ...task.links.flatMap(({ other }) => other ?? [])].find(
      ({ source }) => "input" in source && source.input === input,
    )!;
    const alike =
      operand.kind === "activation" &&
      located.dtype === output.dtype &&
      sameShape(located.shape, output.shape) &&
      located.strides.every((stride, d) => stride === output.strides[d] || output.shape[d] === 1);
    if (alike) free.add(input);
  };
  for (const { other } of task.links) if (other && "input" in other.source) consider(other.source.input);
  const heads = task.inputs.flatMap(({ source }) => ("input" in source ? [source.input] : []));
  if (family.overwrites === "all") heads.forEach(consider);
  if (family.overwrites === "first" && heads[0] !== undefined) consider(heads[0]);
  if (family.overwrites !== "all")
    for (const other of heads.slice(family.overwrites === "first" ? 1 : 0)) free.delete(other);
  if (hasTrait(opOf(task.head), "state")) return [{ output: 0, input: 0 }];
  return [...free].map((input) => ({ output: 0, input }));
}

export const factory: ProviderFactory = {
  name: NAME,
  open: async (target: Target): Promise<Provider | Cannot> => {
    if (target.device === "cuda") return openCudaTile(target);
    if (target.device !== "cpu") return { cannot: `its C kernels run on the CPU, not on ${target.device}` };
    const compiler = await findCompiler();
    if (isCannot(compiler)) return { cannot: `it compiles its kernels: ${compiler.cannot}` };
    const { vectorBytes, bf16 } = target.isa;
    const width = vectorBytes >= 64 ? 64 : vectorBytes >= 32 ? 32 : 16;
    const threads = compiler.openmp ? target.threads : 1;
    return new TileProvider(compiler, { vectorBytes: width, bf16dot: bf16 && width === 64, threads });
  },
};
