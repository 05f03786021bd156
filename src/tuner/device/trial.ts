// One candidate on a region's memory on a device: bound, run, and judged there by what it wrote. The device counterpart
// of trial.ts; only errors and digests cross the bus.
import type { Address, Program, Step } from "../../device/device.js";
import { acceptedError } from "../../check/region-reference.js";
import type { Candidate, Kernel } from "../../provider/provider.js";
import type { DeviceBlock } from "./block.js";
import type { DeviceMemory } from "./memory.js";
import type { DeviceReference } from "./reference.js";
import { judgement, type Outcome } from "../worker/trial.js";
import { bytesIn, isWeight, windowIn } from "../worker/region-memory.js";

type Alias = Candidate["aliases"][number];

/** A run longer than this is not repeated on a dirty workspace. */
const REPEAT_BELOW_US = 20_000;

export class DeviceTrial {
  constructor(
    readonly memory: DeviceMemory,
    readonly candidate: Candidate,
    readonly kernel: Kernel,
  ) {}

  /** Its program on each of `copies` copies of the weights, one after another `rounds` times. */
  program(copies: number, rounds: number): Program {
    const runs = Array.from({ length: copies * rounds }, (_, i) => i % copies);
    return this.memory.device.program(runs.flatMap((copy) => this.#steps(copy)));
  }

  /** Runs it on poisoned memory, again on a dirty workspace, and once in place of each input it may overwrite. */
  check(reference: DeviceReference): Outcome {
    const accepted = acceptedError(this.memory.region, this.candidate.accumulation, undefined);
    this.#workspace().poison();
    const program = this.memory.device.program(this.#steps(0));
    try {
      const first = this.#run(program, reference, accepted);
      if (first.verdict.kind !== "accepted" || first.us! > REPEAT_BELOW_US) return first;
      const second = this.#run(program, reference, accepted);
      if (second.verdict.kind !== "accepted") return second;
      for (const alias of this.candidate.aliases) {
        const outcome = this.#checkInPlace(alias, reference, accepted);
        if (outcome.verdict.kind !== "accepted") return outcome;
      }
      return { ...second, error: Math.max(first.error!, second.error!) };
    } finally {
      program.dispose();
    }
  }

  #workspace(): DeviceBlock {
    return this.memory.shared("workspace", Math.max(64, this.candidate.workspaceBytes));
  }

  #output(output: number): DeviceBlock {
    const layout = this.candidate.layouts.outputs[output];
    const bytes = bytesIn(this.memory.region.outputs[output]!, layout);
    return this.memory.shared(`output ${output} ${layout?.join() ?? ""}`, bytes);
  }

  #window(output: number, address: Address) {
    return { ...windowIn(this.memory.region.outputs[output]!, this.candidate.layouts.outputs[output]), address };
  }

  #steps(copy: number, inPlace?: Alias & { readonly at: Address }): readonly Step[] {
    const { region } = this.memory;
    const inputs = region.inputs.map((operand, index) => this.#input(index, isWeight(operand) ? copy : 0).address);
    const outputs = region.outputs.map((_, output) => this.#output(output).address);
    if (inPlace) {
      outputs[inPlace.output] = inPlace.at;
      inputs[inPlace.input] = inPlace.at;
    }
    return this.kernel.bind({ inputs, outputs, workspace: this.#workspace().address });
  }

  #input(index: number, copy: number): DeviceBlock {
    const { packs, provider, layouts } = this.candidate;
    const at = packs.findIndex((pack) => pack.input === index);
    if (at < 0) return this.memory.input(index, layouts.inputs[index], copy);
    return this.memory.packed(provider, packs[at]!, copy, (from, to) => this.kernel.pack(at, from, to));
  }

  #run(program: Program, reference: DeviceReference, accepted: number): Outcome {
    const { region } = this.memory;
    const blocks = region.outputs.map((_, output) => this.#output(output));
    for (const block of blocks) block.poison();
    const us = program.time();
    let error = 0;
    let wrong: string | undefined;
    const outside: string[] = [];
    blocks.forEach((block, output) => {
      const window = this.#window(output, block.address);
      const found = reference.error(output, window);
      error = Math.max(error, found.error);
      if (!(found.error <= accepted)) wrong ??= judgement(output, found, accepted);
      if (block.isWrittenAround(window)) outside.push(`it wrote around output ${output}`);
    });
    if (this.#workspace().isOverrun()) {
      outside.push("it wrote outside its workspace");
      this.#workspace().poison();
    }
    const damage = this.memory.damage();
    if (damage) outside.push(damage);
    if (outside.length > 0) return { verdict: { kind: "wrote-outside", reason: outside.join("; ") }, error, us };
    if (wrong) return { verdict: { kind: "wrong", reason: wrong }, error, us };
    return { verdict: { kind: "accepted" }, error, us };
  }

  #checkInPlace({ output, input }: Alias, reference: DeviceReference, accepted: number): Outcome {
    using block = this.memory.scratch(input, this.candidate.layouts.inputs[input]);
    const program = this.memory.device.program(this.#steps(0, { output, input, at: block.address }));
    try {
      const us = program.time();
      const found = reference.error(output, this.#window(output, block.address));
      if (found.error <= accepted) return { verdict: { kind: "accepted" }, error: found.error, us };
      const reason = `${judgement(output, found, accepted)} (in place of input ${input})`;
      return { verdict: { kind: "wrong", reason }, error: found.error, us };
    } finally {
      program.dispose();
    }
  }
}
