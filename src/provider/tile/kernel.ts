// A built candidate of ours: the shared library's functions, its packs, and steps over tables of pointers.
import { invariant, TroupeError } from "../../core/error.js";
import { hashOf } from "../../core/hash.js";
import { compileC, type Compiler } from "../../device/cpu/compile.js";
import type { Address, Step } from "../../device/device.js";
import { openLibrary } from "../../device/native/library.js";
import { copyFunction, NativeMemory } from "../../device/native/memory.js";
import type { Source, Temporary } from "../../kernel/sheet.js";
import { isCannot, type Binding, type Kernel } from "../provider.js";
import { packer, packNumbers, type Pack } from "./pack.js";
import type { Packed } from "./stages.js";

/** One function of the source, and the operands of its table in order. */
export interface Stage {
  readonly name: string;
  readonly symbol: string;
  readonly operands: readonly (Source | Temporary)[];
  /** Scratch memory, at the workspace's start, ends the table. */
  readonly usesScratch: boolean;
}

/** What is compiled: a source that exports the stages' symbols. */
export interface Compilable {
  readonly name: string;
  readonly source: string;
  /** Run one after another. */
  readonly stages: readonly Stage[];
  /** Byte offsets in the workspace. */
  readonly temporaries: ReadonlyMap<string, number>;
  readonly packs: readonly Packed[];
  /** The result starts as a copy of this input, unless it lies there. */
  readonly startsAs?: { readonly input: number; readonly bytes: number };
}

/** An exported name that no other kernel has, so that libraries loaded side by side keep apart. */
export const symbolOf = (text: string): string => `troupe_${hashOf(text)}`;

export async function buildKernel(compiler: Compiler, what: Compilable, signal?: AbortSignal): Promise<Kernel> {
  const [path, pack] = await Promise.all([
    compileC(compiler, what.source, signal),
    what.packs.length > 0 ? packer(compiler, signal) : undefined,
  ]);
  const library = openLibrary({ name: `kernel ${what.name}`, files: [path], requires: what.stages.map(({ symbol }) => symbol), advice: "Remove the cache folder's cc." }); // prettier-ignore
  if (isCannot(library)) throw new TroupeError("compile", library.cannot);
  const functions = what.stages.map(({ symbol }) => library.address(symbol)!);
  return new CompiledKernel(what, functions, pack);
}

class CompiledKernel implements Kernel {
  readonly #what: Compilable;
  readonly #functions: readonly Address[];
  readonly #pack: Pack | undefined;
  readonly #tables: NativeMemory[] = [];

  constructor(what: Compilable, functions: readonly Address[], pack: Pack | undefined) {
    this.#what = what;
    this.#functions = functions;
    this.#pack = pack;
  }

  pack(index: number, from: Address, to: Address): void {
    const packed = this.#what.packs[index];
    invariant(packed && this.#pack, `${this.#what.name} has no pack ${index}`);
    this.#pack(from, to, packNumbers(packed.packing, packed.dtype));
  }

  bind(binding: Binding): readonly Step[] {
    const { name, stages, startsAs } = this.#what;
    const steps = stages.map(({ name: stage, operands, usesScratch }, i): Step => {
      const addresses = operands.map((source) => this.#addressOf(source, binding));
      if (usesScratch) addresses.push(binding.workspace);
      const table = new NativeMemory(8 * addresses.length);
      table.write(BigUint64Array.from(addresses));
      this.#tables.push(table);
      return { kind: "native", name: stage, fn: this.#functions[i]!, words: [table.address], status: "ignored" };
    });
    const [from, to] = [startsAs && binding.inputs[startsAs.input]!, binding.outputs[0]!];
    if (!startsAs || from === undefined || from === to) return steps;
    const words = [to, from, startsAs.bytes];
    return [{ kind: "native", name: `copy for ${name}`, fn: copyFunction(), words, status: "ignored" }, ...steps];
  }

  #addressOf(source: Source | Temporary, { inputs, outputs, workspace }: Binding): Address {
    if ("input" in source) return inputs[source.input]! + BigInt(source.offsetBytes ?? 0);
    if ("output" in source) return outputs[source.output]! + BigInt(source.offsetBytes ?? 0);
    return workspace + BigInt(this.#what.temporaries.get(source.temporary)!);
  }

  dispose(): void {
    for (const table of this.#tables.splice(0)) table.dispose();
  }
}
