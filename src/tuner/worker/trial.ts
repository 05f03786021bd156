// One candidate on a region's memory: bound, run, and judged by what it wrote.
import type { Address, Device, Program, Step } from "../../device/device.js";
import type { ValueId } from "../../graph/node.js";
import { opOf } from "../../graph/ops.js";
import type { Region } from "../../graph/region.js";
import { GuardedMemory } from "../../check/guarded.js";
import { HostTensor } from "../../check/host-tensor.js";
import { acceptedError } from "../../check/region-reference.js";
import type { Candidate, Kernel } from "../../provider/provider.js";
import type { Expectation } from "./expectation.js";
import type { Verdict } from "../records/measurement.js";
import { bytesIn, isWeight, windowIn, type RegionMemory } from "./region-memory.js";

export interface Outcome {
  readonly verdict: Verdict;
  readonly error?: number;
  /** Wall time of a run, of several the shortest: a run by itself may have waited for its threads. */
  readonly us?: number;
}

type Alias = Candidate["aliases"][number];

/** A run longer than this is not repeated on a dirty workspace. */
const REPEAT_BELOW_US = 200_000;

export class Trial implements Disposable {
  readonly candidate: Candidate;
  readonly #memory: RegionMemory;
  readonly #kernel: Kernel;
  readonly #device: Device;
  readonly #outputs: readonly GuardedMemory[];
  readonly #workspace: GuardedMemory;
  /** Output → the input it is a new version of. */
  readonly #states: ReadonlyMap<number, number>;
  readonly #stateBlocks = new Map<number, GuardedMemory>();

  constructor(memory: RegionMemory, candidate: Candidate, kernel: Kernel, device: Device) {
    this.candidate = candidate;
    this.#memory = memory;
    this.#kernel = kernel;
    this.#device = device;
    const { region } = memory;
    this.#states = statePairs(region);
    for (const input of this.#states.values())
      this.#stateBlocks.set(input, memory.scratch(input, candidate.layouts.inputs[input]));
    this.#outputs = region.outputs.map((operand, output) => {
      const state = this.#states.get(output);
      return state === undefined
        ? new GuardedMemory(bytesIn(operand, candidate.layouts.outputs[output]))
        : this.#stateBlocks.get(state)!;
    });
    this.#workspace = new GuardedMemory(Math.max(64, candidate.workspaceBytes));
  }

  /** Whether every step of it runs in JavaScript. */
  inJavaScript(): boolean {
    return this.#steps(0).every((step) => step.kind === "host");
  }

  /** The candidate's program on copy `copy` of the weights. */
  program(copy: number, inPlace?: Alias & { readonly at: Address }): Program {
    return this.#device.program(this.#steps(copy, inPlace));
  }

  /** Runs it on poisoned memory, again on a dirty workspace, and once in place of each input it may overwrite. */
  check(expected: Expectation): Outcome {
    const accepted = acceptedError(this.#memory.region, this.candidate.accumulation, expected.plainError);
    const program = this.program(0);
    this.#workspace.poison();
    try {
      const first = this.#run(program, expected, accepted);
      if (first.verdict.kind !== "accepted" || first.us! > REPEAT_BELOW_US) return first;
      const second = this.#run(program, expected, accepted);
      if (second.verdict.kind !== "accepted") return again("on the workspace of the run before", second);
      for (const alias of this.candidate.aliases) {
        const outcome = this.#checkInPlace(alias, expected, accepted);
        if (outcome.verdict.kind !== "accepted") return again(`in place of input ${alias.input}`, outcome);
      }
      return { ...second, error: Math.max(first.error!, second.error!), us: Math.min(first.us!, second.us!) };
    } finally {
      program.dispose();
    }
  }

  dispose(): void {
    for (const block of new Set([...this.#outputs, ...this.#stateBlocks.values(), this.#workspace])) block.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #steps(copy: number, inPlace?: Alias & { readonly at: Address }): readonly Step[] {
    const inputs = this.#memory.region.inputs.map((operand, index) => this.#inputBlock(index, isWeight(operand), copy));
    const outputs = this.#outputs.map((block) => block.address);
    const addresses = inputs.map((block) => block.address);
    if (inPlace) {
      outputs[inPlace.output] = inPlace.at;
      addresses[inPlace.input] = inPlace.at;
    }
    return this.#kernel.bind({ inputs: addresses, outputs, workspace: this.#workspace.address });
  }

  #inputBlock(index: number, weight: boolean, copy: number): GuardedMemory {
    const state = this.#stateBlocks.get(index);
    if (state) return state;
    const at = this.candidate.packs.findIndex((pack) => pack.input === index);
    if (at >= 0)
      return this.#memory.packed(this.candidate.provider, this.candidate.packs[at]!, copy, (from, to) =>
        this.#kernel.pack(at, from, to),
      );
    return this.#memory.input(index, this.candidate.layouts.inputs[index], weight ? copy : 0);
  }

  #run(program: Program, expected: Expectation, accepted: number): Outcome {
    this.#outputs.forEach((block, output) => {
      if (!this.#states.has(output)) block.poison();
    });
    for (const [index, block] of this.#stateBlocks) {
      const fresh = this.#memory.scratch(index, this.candidate.layouts.inputs[index]);
      fresh.contents().copy(block.contents());
      fresh.dispose();
    }
    const us = program.time();
    let error = 0;
    let wrong: string | undefined;
    const outside: string[] = [];
    this.#outputs.forEach((block, output) => {
      const window = windowIn(this.#memory.region.outputs[output]!, this.candidate.layouts.outputs[output]);
      const found = expected.error(output, new HostTensor(window, block.address));
      error = Math.max(error, found.error);
      if (!(found.error <= accepted)) wrong ??= judgement(output, found, accepted);
      const breach = this.#states.has(output) ? block.breach() : block.breachAround(window);
      if (breach) outside.push(`it wrote ${breach} of output ${output}`);
    });
    const workspace = this.#workspace.breach();
    if (workspace) {
      outside.push(`it wrote ${workspace} of its workspace`);
      this.#workspace.poison();
    }
    const damage = this.#memory.damage();
    if (damage) outside.push(damage);
    if (outside.length > 0) return { verdict: { kind: "wrote-outside", reason: outside.join("; ") }, error, us };
    if (wrong) return { verdict: { kind: "wrong", reason: wrong }, error, us };
    return { verdict: { kind: "accepted" }, error, us };
  }

  #checkInPlace({ output, input }: Alias, expected: Expectation, accepted: number): Outcome {
    const block = this.#memory.scratch(input, this.candidate.layouts.inputs[input]);
    const program = this.program(0, { output, input, at: block.address });
    try {
      const us = program.time();
      const window = windowIn(this.#memory.region.outputs[output]!, this.candidate.layouts.outputs[output]);
      const found = expected.error(output, new HostTensor(window, block.address));
      if (!(found.error <= accepted))
        return { verdict: { kind: "wrong", reason: judgement(output, found, accepted) }, error: found.error, us };
      return { verdict: { kind: "accepted" }, error: found.error, us };
    } finally {
      program.dispose();
      block.dispose();
    }
  }
}

export const judgement = (output: number, { error, row }: { error: number; row: number }, accepted: number): string =>
  Number.isFinite(error)
    ? `output ${output} is off by ${error.toExponential(1)} in row ${row}; ${accepted.toExponential(1)} is accepted`
    : `output ${output} has no finite number somewhere in row ${row} where the reference has one`;

function again(how: string, outcome: Outcome): Outcome {
  const { verdict } = outcome;
  if (verdict.kind === "accepted") return outcome;
  return { ...outcome, verdict: { ...verdict, reason: `${verdict.reason} (${how})` } };
}

/** Output index → index of the region's input that it is a new version of. */
function statePairs(region: Region): ReadonlyMap<number, number> {
  const origin = new Map<ValueId, ValueId>();
  for (const node of region.nodes)
    for (const pair of opOf(node).mutates?.(node.params) ?? []) {
      const from = node.inputs[pair.input]!;
      origin.set(node.outputs[pair.output]!, origin.get(from) ?? from);
    }
  const pairs = new Map<number, number>();
  region.outputs.forEach((operand, output) => {
    const input = region.inputs.findIndex(({ value }) => value === origin.get(operand.value));
    if (input >= 0) pairs.set(output, input);
  });
  return pairs;
}
