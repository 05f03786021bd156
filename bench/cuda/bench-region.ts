// Candidates of several providers for a piece of work, each run on the same random operands in the device's memory: times
// of captured replays over rotating copies of all operands, and outputs compared with the rivals'.
import { dtypeBytes } from "../../src/core/dtype.js";
import { sizeOf } from "../../src/core/shape.js";
import { median } from "../../src/core/statistics.js";
import type { Buffer, Device, DeviceWindow, Program, Step } from "../../src/device/device.js";
import type { ValueId } from "../../src/graph/node.js";
import type { Region, Regions } from "../../src/graph/region.js";
import type { Candidate, Kernel } from "../../src/provider/provider.js";
import { sustained, type Sustained } from "./energy.js";

/** What computes the work: one candidate, or several one after another. */
export interface Entrant {
  readonly name: string;
  readonly parts: readonly { readonly region: Region; readonly candidate: Candidate }[];
}

export interface Sided {
  readonly name: string;
  readonly side: string;
  readonly us: number;
}

/** Copies of the operands that are gone through in turn exceed the last cache so many times. */
const CACHES = 3;
const MOST_COPIES = 8;
/** A replay is about so long. */
const REPLAY_US = 3000;
/** One of those that go on and on: long beside what the host does between two. */
const LONG_REPLAY_US = 8000;
const QUICK_REPLAYS = 2;
const FINAL_ROUNDS = 9;
const FINALISTS = 3;

export class Arena implements Disposable {
  readonly copies: number;
  readonly #buffers: Map<ValueId, Buffer>[];
  readonly #workspaces = new Map<number, Buffer>();
  readonly #kernels: Kernel[] = [];
  /** By what is packed, and how. */
  readonly #packs = new Map<string, Buffer>();

  constructor(
    readonly device: Device,
    readonly regions: Regions,
    operands: readonly ValueId[],
  ) {
    const roots = [...new Set(operands.map((id) => this.#storage(id).root))];
    const bytes = roots.reduce((sum, id) => sum + this.#bytes(id), 0);
    this.copies = Math.max(2, Math.min(MOST_COPIES, Math.ceil((CACHES * device.numbers!.cacheBytes) / bytes)));
    this.#buffers = Array.from({ length: this.copies }, (_, copy) =>
      new Map(roots.map((id) => [id, this.#filled(id, copy * 100 + id)])),
    ); // prettier-ignore
  }

  #storage(id: ValueId) {
    return this.regions.storage.get(id)!;
  }

  #bytes(id: ValueId): number {
    const { dtype, shape } = this.regions.graph.values[id]!;
    return sizeOf(shape) * dtypeBytes(dtype);
  }

  #filled(id: ValueId, stream: number): Buffer {
    const buffer = this.device.allocate(Math.max(64, this.#bytes(id)));
    this.device.numbers!.normal(this.#window(id, buffer), { seed: 7, stream, deviation: 1, mean: 0 });
    return buffer;
  }

  #window(id: ValueId, buffer: Buffer): DeviceWindow {
    const { dtype, shape } = this.regions.graph.values[id]!;
    const width = shape.at(-1) ?? 1;
    return { address: buffer.address, dtype, shape: [sizeOf(shape) / width, width], strides: [width, 1] };
  }

  /** Steps of an entrant for each copy of the operands; undefined where it cannot be built. */
  async steps({ parts }: Entrant): Promise<readonly (readonly Step[])[]> {
    const kernels: Kernel[] = [];
    for (const { candidate } of parts) kernels.push(await candidate.build());
    this.#kernels.push(...kernels);
    return this.#buffers.map((buffers) =>
      parts.flatMap(({ region, candidate }, i) => {
        const at = (value: ValueId): bigint => {
          const { root, offset } = this.#storage(value);
          return buffers.get(root)!.address + BigInt(offset * dtypeBytes(this.regions.graph.values[value]!.dtype));
        };
        const packs = new Map(candidate.packs.map((pack, index) => [pack.input, this.#pack(candidate, kernels[i]!, index, at(region.inputs[pack.input]!.value))])); // prettier-ignore
        const inputs = region.inputs.map(({ value }, input) => packs.get(input) ?? at(value));
        const outputs = region.outputs.map(({ value }) => at(value));
        return kernels[i]!.bind({ inputs, outputs, workspace: this.#workspace(candidate.workspaceBytes) });
      }),
    );
  }

  #pack({ provider, packs }: Candidate, kernel: Kernel, index: number, from: bigint): bigint {
    const { recipe, bytes } = packs[index]!;
    const key = `${provider} ${recipe} ${from}`;
    const known = this.#packs.get(key);
    if (known) return known.address;
    const made = this.device.allocate(Math.max(64, bytes));
    this.#packs.set(key, made);
    kernel.pack(index, from, made.address);
    return made.address;
  }

  #workspace(bytes: number): bigint {
    const size = 2 ** Math.ceil(Math.log2(Math.max(64, bytes)));
    if (!this.#workspaces.has(size)) this.#workspaces.set(size, this.device.allocate(size));
    return this.#workspaces.get(size)!.address;
  }

  /** Largest relative error of a row of the first copy's result, which has storage of its own, of `got` against `wanted`. */
  async error(result: ValueId, got: readonly Step[], wanted: readonly Step[]): Promise<number> {
    const buffer = this.#buffers[0]!.get(result)!;
    const run = async (steps: readonly Step[]): Promise<void> => {
      buffer.fill(0xff);
      const program = this.device.program(steps);
      await program.run();
      program.dispose();
    };
    await run(wanted);
    const kept = this.device.allocate(buffer.bytes);
    const copied = this.device.program([this.device.copy("copy", kept.address, buffer.address, buffer.bytes)]);
    await copied.run();
    await run(got);
    const { differences, norms } = this.device.numbers!.rowErrors(this.#window(result, buffer), this.#window(result, kept)); // prettier-ignore
    copied.dispose();
    kept.dispose();
    return differences.reduce((most, difference, row) => {
      const error = Math.sqrt(difference / norms[row]!);
      return error <= most ? most : error; // NaN stays
    }, 0);
  }

  /** Whether so many runs on the first copy give one result bit for bit. */
  async isRepeatable(result: ValueId, steps: readonly Step[], runs: number): Promise<boolean> {
    const buffer = this.#buffers[0]!.get(result)!;
    const program = this.device.program(steps);
    const digests = new Set<bigint>();
    for (let run = 0; run < runs; run++) {
      program.time();
      digests.add(this.device.numbers!.digest(buffer.address, buffer.bytes));
    }
    program.dispose();
    return digests.size === 1;
  }

  /** Medians, fastest first: all once, then the best of each side by turns. */
  race(entrants: readonly { readonly name: string; readonly side: string; readonly steps: readonly (readonly Step[])[] }[]): { readonly finals: readonly Sided[]; readonly once: readonly Sided[] } {
    const programs = new Map<string, { readonly program: Program; readonly runs: number }>();
    const us = (name: string): number => {
      const { program, runs } = programs.get(name)!;
      return program.time() / runs;
    };
    const once = entrants.map(({ name, side, steps }) => {
      const first = this.device.program(steps[0]!);
      first.time();
      const rounds = Math.max(1, Math.round(REPLAY_US / (first.time() * this.copies)));
      first.dispose();
      const all = Array.from({ length: rounds }, () => steps).flat(2);
      programs.set(name, { program: this.device.program(all), runs: rounds * this.copies });
      return { name, side, us: Math.min(...Array.from({ length: QUICK_REPLAYS }, () => us(name))) };
    });
    const sides = new Set(once.map(({ side }) => side));
    const finalists = [...sides].flatMap((side) => once.filter((x) => x.side === side).sort((a, b) => a.us - b.us).slice(0, FINALISTS)); // prettier-ignore
    const samples = new Map(finalists.map(({ name }) => [name, [] as number[]]));
    for (let round = 0; round < FINAL_ROUNDS; round++) for (const [name, list] of samples) list.push(us(name));
    for (const { program } of programs.values()) program.dispose();
    const finals = finalists.map(({ name, side }) => ({ name, side, us: median(samples.get(name)!) })).sort((a, b) => a.us - b.us);
    return { finals, once: once.sort((a, b) => a.us - b.us) };
  } // prettier-ignore

  /** Time and joules of a run among many that go on for so many seconds; undefined where nothing counts joules. */
  sustained(steps: readonly (readonly Step[])[], us: number, counter: () => number | undefined, seconds: number): Sustained | undefined {
    const rounds = Math.max(1, Math.round(LONG_REPLAY_US / (us * this.copies)));
    const program = this.device.program(Array.from({ length: rounds }, () => steps).flat(2));
    const found = sustained(counter, () => program.time(), seconds);
    program.dispose();
    const runs = rounds * this.copies;
    return found && { us: found.us / runs, joules: found.joules / runs };
  } // prettier-ignore

  [Symbol.dispose](): void {
    for (const kernel of this.#kernels.splice(0)) kernel.dispose();
    for (const buffers of this.#buffers) for (const buffer of buffers.values()) buffer.dispose();
    for (const buffer of [...this.#workspaces.values(), ...this.#packs.values()]) buffer.dispose();
  }
}
