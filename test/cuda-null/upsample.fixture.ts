// The upsamplings of a decoder as large as FLUX.1's, and a residual block's last convolution, each with the group norm
// behind it, chosen by rules on the CUDA device of this process, with and without our tensor cores' part in the former;
// builds, packs and runs what is chosen for the first and the last, and prints all that.
// usage: upsample.fixture.js
import { ruleRecords } from "../../src/compile/rules.js";
import { conversionsBy } from "../../src/compile/conversions.js";
import { openMachine } from "../../src/compile/machine.js";
import type { Value } from "../../src/graph/node.js";
import { Regions } from "../../src/graph/region.js";
import { Words } from "../../src/graph/words.js";
import { propose } from "../../src/plan/propose.js";
import { select } from "../../src/plan/select.js";
import { isCannot } from "../../src/provider/provider.js";
import { titleOf } from "../../src/tuner/title.js";

const g = new Words("upsamplings");
const upsampled = (name: string, channels: number, side: number): Value => {
  const large = g.upsampleNearest(g.silu(g.input(`${name}.x`, "bf16", [1, channels, side, side])), 2);
  const y = g.conv2d(large, g.weight(`${name}.w`, "bf16", [channels, channels, 3, 3]), g.weight(`${name}.b`, "bf16", [channels]), { padding: 1 }); // prettier-ignore
  return g.groupNorm(y, g.weight(`${name}.g`, "bf16", [channels]), g.weight(`${name}.h`, "bf16", [channels]), 32, 1e-6);
};
const sizes = [["a", 512, 128], ["b", 512, 256], ["c", 256, 512]] as const; // prettier-ignore
/** A residual block's end, which the next block goes on from twice. */
function block(channels: number, side: number): readonly (readonly [string, Value])[] {
  const picture = (name: string): Value => g.silu(g.input(name, "bf16", [1, channels, side, side]));
  const weight = (name: string, ...shape: readonly number[]): Value => g.weight(`d.${name}`, "bf16", shape);
  const y = g.conv2d(picture("d.x"), weight("w", channels, channels, 3, 3), weight("b", channels), { padding: 1 });
  const sum = g.add(picture("d.r"), y);
  const normed = g.silu(g.groupNorm(sum, weight("g", channels), weight("h", channels), 32, 1e-6));
  return [["d.sum", g.mul(sum, g.square(sum))], ["d.normed", g.mul(normed, g.square(normed))]]; // prettier-ignore
}
const results = sizes.map(([name, channels, side]) => [name, upsampled(name, channels, side)] as const);
const regions = new Regions(g.finish(Object.fromEntries([...results, ...block(128, 1024)])));

using machine = await openMachine({ device: "cuda" });
const { providers } = machine.opened;
const proposals = propose(regions, providers);
const rules = ruleRecords(proposals, machine);
const chosenBy = (isWanted: (id: string) => boolean) =>
  select(proposals, {
    recordOf: (signature) => rules.get(signature),
    conversionOf: conversionsBy(providers),
    admit: (_, { id }) => isWanted(id),
  });
const all = await chosenBy(() => true);
const general = await chosenBy((id) => !/upsample_nearest\+conv2d.* wgmma/.test(id));
const idsOf = ({ chosen }: typeof all) => chosen.map(({ proposal, candidate: { provider, id } }) => `${titleOf(proposal.region)}: ${provider}, ${id}`); // prettier-ignore

const { device } = machine;
/** Revived from what a plan stores. */
async function built(head: string) {
  const { proposal: { region }, candidate } = all.chosen.find(({ proposal }) => titleOf(proposal.region).startsWith(head))!; // prettier-ignore
  const revived = providers.find(({ name }) => name === candidate.provider)!.revive(region, candidate);
  if (isCannot(revived)) throw new Error(revived.cannot);
  const kernel = await revived.build();
  const memoryOf = (operands: typeof region.inputs) => operands.map(({ shape }) => device.allocate(2 * shape.reduce((a, b) => a * b))); // prettier-ignore
  const [read, written] = [memoryOf(region.inputs), memoryOf(region.outputs)];
  const packs = revived.packs.map(({ bytes }) => device.allocate(bytes));
  revived.packs.forEach(({ input }, i) => kernel.pack(i, read[input]!.address, packs[i]!.address));
  const inputs = read.map((own, i) => packs[revived.packs.findIndex(({ input }) => input === i)] ?? own);
  const workspace = device.allocate(Math.max(64, revived.workspaceBytes));
  const addresses = (memory: typeof read): readonly bigint[] => memory.map(({ address }) => address);
  const steps = kernel.bind({ inputs: addresses(inputs), outputs: addresses(written), workspace: workspace.address });
  const us = device.program(steps).time();
  const { id, packs: declared, estimateUs, workspaceBytes } = revived;
  return { id, isSame: id === candidate.id, packs: declared, estimateUs, workspaceBytes, outputs: written.length, steps: steps.map(({ name }) => name), us }; // prettier-ignore
}
const [doubled, last] = [await built("upsample_nearest + conv2d"), await built("conv2d + add")];
console.log(JSON.stringify({ all: idsOf(all), general: idsOf(general), built: doubled, last }));
