// The upsamplings of a decoder as large as FLUX.1's, chosen by rules on the CUDA device of this process, with and without
// our tensor cores' part in it; builds, packs and runs what is chosen for one of them, and prints all that.
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
const results = sizes.map(([name, channels, side]) => [name, upsampled(name, channels, side)] as const);
const regions = new Regions(g.finish(Object.fromEntries(results)));

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
const general = await chosenBy((id) => !/upsample_nearest\+conv2d wgmma/.test(id));
const idsOf = ({ chosen }: typeof all) => chosen.map(({ proposal, candidate: { provider, id } }) => `${titleOf(proposal.region)}: ${provider}, ${id}`); // prettier-ignore

const { proposal, candidate } = all.chosen.find(({ proposal: { region } }) => titleOf(region).startsWith("upsample_nearest + conv2d"))!; // prettier-ignore
const { region } = proposal;
const revived = providers.find(({ name }) => name === candidate.provider)!.revive(region, candidate);
if (isCannot(revived)) throw new Error(revived.cannot);
const { device } = machine;
const kernel = await revived.build();
const memory = [...region.inputs, ...region.outputs].map(({ shape }) =>
  device.allocate(2 * shape.reduce((a, b) => a * b)),
);
const packs = revived.packs.map(({ bytes }) => device.allocate(bytes));
revived.packs.forEach(({ input }, i) => kernel.pack(i, memory[input]!.address, packs[i]!.address));
const inputs = region.inputs.map((_, i) => packs[revived.packs.findIndex(({ input }) => input === i)] ?? memory[i]!);
const workspace = device.allocate(Math.max(64, revived.workspaceBytes));
const steps = kernel.bind({
  inputs: inputs.map(({ address }) => address),
  outputs: [memory.at(-1)!.address],
  workspace: workspace.address,
});
const program = device.program(steps);
const us = program.time();
const { id, packs: declared, estimateUs } = revived;
console.log(JSON.stringify({ all: idsOf(all), general: idsOf(general), built: { id, packs: declared, estimateUs, steps: steps.map(({ name }) => name), us } })); // prettier-ignore
