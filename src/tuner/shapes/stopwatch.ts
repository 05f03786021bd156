// Times of candidates that nobody checks: operands are one block of random numbers over and over, weights are cold.
// Weights and their packs stay from region to region while their sizes do, so that many heights of one product cost
// little more than their runs.
import { dtypeBytes, toBf16Bits, type DType } from "../../core/dtype.js";
import { fillNormal } from "../../core/philox.js";
import { sizeOf } from "../../core/shape.js";
import { spanBytes } from "../../check/host-tensor.js";
import type { Device, Program } from "../../device/device.js";
import { NativeMemory } from "../../device/native/memory.js";
import type { Operand, Region } from "../../graph/region.js";
import type { Candidate, Kernel, Layout } from "../../provider/provider.js";
import { isWeight, windowIn } from "../worker/region-memory.js";
import { timeByTurns, type TimingOptions } from "../worker/timing.js";
import { undisturbed } from "../worker/undisturbed.js";

/** A candidate that is ready to run. */
export interface Runnable {
  readonly candidate: Candidate;
  readonly kernel: Kernel;
}

export interface StopwatchTiming extends TimingOptions {
  /** Most memory for copies of weights and their packs. */
  readonly rotationBytes: number;
}

/** More would only cost bindings. */
const MOST_COPIES = 32;
/** Copies of a weight exceed the last cache so many times: caches do not forget what is oldest first. */
const COLD = 2;
/** So many times as slow as the fastest at first, a candidate is not run again. */
const HOPELESS = 6;
const PATTERN = 1 << 18;

export class Stopwatch implements Disposable {
  readonly #device: Device;
  readonly #cacheBytes: number;
  readonly #patterns = new Map<DType, Uint8Array>();
  #weights = new Map<string, NativeMemory>();
  #sizes = "";

  /** @param cacheBytes what the copies of a weight exceed together */
  constructor(device: Device, cacheBytes: number) {
    this.#device = device;
    this.#cacheBytes = cacheBytes;
  }

  /** Samples in microseconds, by turns; a candidate that fails to bind has none. Steps in JavaScript are not run. */
  time(region: Region, built: readonly Runnable[], timing: StopwatchTiming): readonly (readonly number[])[] {
    this.#keepOnly(region);
    const copies = this.#copies(region, built, timing.rotationBytes);
    const blocks: NativeMemory[] = [];
    const own = (bytes: number): NativeMemory => {
      blocks.push(new NativeMemory(bytes));
      return blocks.at(-1)!;
    };
    const programs: Program[] = [];
    try {
      const inputs = region.inputs.map((operand) => (isWeight(operand) ? undefined : this.#filled(own, operand)));
      const outputs = region.outputs.map((operand) => own(spanBytes(windowIn(operand, undefined))));
      const workspace = own(Math.max(64, ...built.map(({ candidate }) => candidate.workspaceBytes)));
      const bind = ({ candidate, kernel }: Runnable, copy: number): Program | undefined => {
        const steps = kernel.bind({
          inputs: region.inputs.map((operand, i) => (inputs[i] ?? this.#weight(operand, i, candidate, kernel, copy)).address),
          outputs: outputs.map(({ address }) => address),
          workspace: workspace.address,
        }); // prettier-ignore
        if (steps.some(({ kind }) => kind === "host")) return undefined;
        programs.push(this.#device.program(steps));
        return programs.at(-1);
      };
      const bound = built.map((one) => [bind(one, 0)]);
      // A first run pays for pages and pools. One that is hopeless is the last.
      const firstUs = bound.map(([program]) => program?.time());
      const limitUs = Math.max(
        HOPELESS * Math.min(...firstUs.filter((us) => us !== undefined)),
        timing.candidateMs * 1e3,
      );
      const racing = built.flatMap((one, i) => (firstUs[i]! <= limitUs ? [{ one, mine: bound[i]!, i }] : []));
      const runners = racing.map(({ one, mine }) => (turn: number): number => {
        const copy = turn % copies;
        return (mine[copy] ??= bind(one, copy))!.time();
      });
      const { samples } = undisturbed(() => timeByTurns(runners, timing));
      return firstUs.map((us, index) => {
        const at = racing.findIndex(({ i }) => i === index);
        return at < 0 ? (us === undefined ? [] : [us]) : samples[at]!;
      });
    } finally {
      for (const program of programs) program.dispose();
      for (const block of blocks) block.dispose();
    }
  }

  dispose(): void {
    for (const block of this.#weights.values()) block.dispose();
    this.#weights.clear();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #keepOnly(region: Region): void {
    const sizes = JSON.stringify(region.inputs.map((operand) => (isWeight(operand) ? [operand.dtype, operand.shape] : [])));
    if (sizes !== this.#sizes) this.dispose();
    this.#sizes = sizes;
  } // prettier-ignore

  /** How many copies of the weights make every run find them cold, within the limit of memory. */
  #copies({ inputs }: Region, built: readonly Runnable[], limitBytes: number): number {
    const bytes = inputs.filter(isWeight).reduce((sum, { shape, dtype }) => sum + sizeOf(shape) * dtypeBytes(dtype), 0);
    if (bytes === 0) return 1;
    const forms = new Set(built.flatMap(({ candidate: { provider, packs } }) => packs.map(({ recipe }) => `${provider} ${recipe}`))); // prettier-ignore
    const wanted = Math.ceil((COLD * this.#cacheBytes) / bytes) + 1;
    const affordable = Math.floor(limitBytes / (bytes * (1 + forms.size)));
    return Math.max(1, Math.min(wanted, affordable, MOST_COPIES));
  }

  #weight(operand: Operand, input: number, candidate: Candidate, kernel: Kernel, copy: number): NativeMemory {
    const at = candidate.packs.findIndex((pack) => pack.input === input);
    const pack = candidate.packs[at];
    const key = pack ? `${input} ${copy} ${candidate.provider} ${pack.recipe}` : `${input} ${copy}`;
    const known = this.#weights.get(key);
    if (known) return known;
    const keep = (bytes: number): NativeMemory => {
      const block = new NativeMemory(bytes);
      this.#weights.set(key, block);
      return block;
    };
    if (!pack) return this.#filled(keep, operand);
    const plain = this.#weights.get(`${input} ${copy}`) ?? this.#filled((bytes) => new NativeMemory(bytes), operand);
    const packed = keep(pack.bytes);
    kernel.pack(at, plain.address, packed.address);
    if (!this.#weights.has(`${input} ${copy}`)) plain.dispose();
    return packed;
  }

  /** An operand's block with random numbers all over it. */
  #filled(allocate: (bytes: number) => NativeMemory, operand: Operand, layout?: Layout): NativeMemory {
    const block = allocate(spanBytes(windowIn(operand, layout)));
    const pattern = this.#pattern(operand.dtype);
    for (let at = 0; at < block.bytes; at += pattern.length)
      block.write(pattern.subarray(0, Math.min(pattern.length, block.bytes - at)), at);
    return block;
  }

  #pattern(dtype: DType): Uint8Array {
    let pattern = this.#patterns.get(dtype);
    if (!pattern) {
      const numbers = new Float32Array(PATTERN);
      fillNormal(numbers, 11);
      const typed = dtype === "bf16" ? Uint16Array.from(numbers, (x) => toBf16Bits(0.1 * x)) : numbers.map((x) => 0.1 * x);
      this.#patterns.set(dtype, (pattern = new Uint8Array(typed.buffer)));
    }
    return pattern;
  } // prettier-ignore
}
