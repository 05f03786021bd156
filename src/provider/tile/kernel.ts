// A built kernel of ours: the shared library's function, its packs, and steps over tables of pointers.
import type { DType } from "../../core/dtype.js";
import { invariant, TroupeError } from "../../core/error.js";
import { hashOf } from "../../core/hash.js";
import { compileC, type Compiler } from "../../device/cpu/compile.js";
import type { Address, Step } from "../../device/device.js";
import { openLibrary } from "../../device/native/library.js";
import { copyFunction, NativeMemory } from "../../device/native/memory.js";
import type { KernelForm, Packing, Source } from "../../kernel/sheet.js";
import { isCannot, type Binding, type Kernel } from "../provider.js";
import { packer, packNumbers, type Pack } from "./pack.js";

export interface Packed {
  readonly packing: Packing;
  readonly dtype: DType;
}

/** What is compiled: a source that exports `symbol`, and the operands of its table in order. */
export interface Compilable {
  readonly name: string;
  readonly source: string;
  readonly symbol: string;
  readonly operands: readonly Source[];
  readonly usesWorkspace: boolean;
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
  const library = openLibrary({ name: `kernel ${what.name}`, files: [path], requires: [what.symbol], advice: "Remove the cache folder's cc." }); // prettier-ignore
  if (isCannot(library)) throw new TroupeError("compile", library.cannot);
  return new CompiledKernel(what, library.address(what.symbol)!, pack);
}

class CompiledKernel implements Kernel {
  readonly #what: Compilable;
  readonly #fn: Address;
  readonly #pack: Pack | undefined;
  readonly #tables: NativeMemory[] = [];

  constructor(what: Compilable, fn: Address, pack: Pack | undefined) {
    this.#what = what;
    this.#fn = fn;
    this.#pack = pack;
  }

  pack(index: number, from: Address, to: Address): void {
    const packed = this.#what.packs[index];
    invariant(packed && this.#pack, `${this.#what.name} has no pack ${index}`);
    this.#pack(from, to, packNumbers(packed.packing, packed.dtype));
  }

  bind(binding: Binding): readonly Step[] {
    const { name, operands, usesWorkspace } = this.#what;
    const addresses = operands.map((source) => ("input" in source ? binding.inputs[source.input]! : binding.outputs[source.output]!)); // prettier-ignore
    if (usesWorkspace) addresses.push(binding.workspace);
    const table = new NativeMemory(8 * addresses.length);
    table.write(BigUint64Array.from(addresses));
    this.#tables.push(table);
    const run: Step = { kind: "native", name, fn: this.#fn, words: [table.address], status: "ignored" };
    const { startsAs } = this.#what;
    const [from, to] = [startsAs && binding.inputs[startsAs.input]!, binding.outputs[0]!];
    if (!startsAs || from === undefined || from === to) return [run];
    const words = [to, from, startsAs.bytes];
    return [{ kind: "native", name: `copy for ${name}`, fn: copyFunction(), words, status: "ignored" }, run];
  }

  dispose(): void {
    for (const table of this.#tables.splice(0)) table.dispose();
  }
}

export const sourcesOf = (form: KernelForm): readonly Source[] => form.parameters.map(({ source }) => source);
