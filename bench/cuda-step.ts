// FLUX.1-schnell's denoise step under other schedules of our kernels than rules choose, everything else equal, on this
// machine's GPU: by turns, replay after replay, so at the power limit where one is, which kernels timed apart do not show.
// usage: node dist/bench/cuda-step.js [--pictures 8] [--blocks DOUBLE,SINGLE] [--rounds N] [--replays N] VARIANT…
//   VARIANT  "OPS: FIELD=VALUE …", several with ";" between them: the step's regions of these ops by our skeletons with
//            fields of the schedule changed; "OPS[FIELD=VALUE …]" those alone whose schedule has these. For instance
//            "linear+gelu_tanh: blockN=128 stages=6", "linear+mul+add[blockN=256]: groupM=16; attention: blockKeys=128"
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { openMachine } from "../src/compile/machine.js";
import { messageOf, TroupeError } from "../src/core/error.js";
import { median } from "../src/core/statistics.js";
import { Regions } from "../src/graph/region.js";
import type { Params } from "../src/graph/node.js";
import {
  checkAttention,
  checkMatmul,
  type AttentionSchedule,
  type MatmulSchedule,
} from "../src/lower/cuda/schedule.js";
import { openImageModel } from "../src/pipeline/image/components.js";
import type { Plan, PlanStep } from "../src/plan/plan.js";
import { isCannot } from "../src/provider/provider.js";
import { Session } from "../src/session/session.js";
import { WeightPool } from "../src/session/weight-pool.js";
import { StepPlans } from "./cuda/batch-plans.js";
import { energyCounter, joulesOf } from "./cuda/energy.js";
import { writeFluxFolder } from "./cuda/flux-folder.js";
import { partsOf } from "./cuda/flux-parts.js";
import { fillInputs } from "./cuda/session-inputs.js";

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    pictures: { type: "string", default: "8" }, blocks: { type: "string", default: "3,8" },
    rounds: { type: "string", default: "3" }, replays: { type: "string", default: "6" },
  },
}); // prettier-ignore
const PICTURES = Number(flags.pictures);
const STEPS = 4;
const HEAD_WIDTH = 128;
/** Kernels of less a picture are not told apart. */
const WORTH_TELLING_MS = 0.1;

type Fields = Readonly<Record<string, number | boolean>>;
interface Change {
  readonly ops: string;
  readonly where: Fields;
  readonly to: Fields;
}

const fieldsOf = (text: string): Fields =>
  Object.fromEntries(
    text.split(/\s+/).filter(Boolean).map((field) => {
      const [name, value] = field.split("=") as [string, string?];
      return [name, value === undefined || value === "true" ? true : value === "false" ? false : Number(value)];
    }),
  ); // prettier-ignore

function changesOf(variant: string): readonly Change[] {
  return variant.split(";").map((text) => {
    const [, ops, where = "", to] = /^\s*([^\s[:]+)(?:\[([^\]]*)\])?:(.*)$/.exec(text) ?? [];
    if (ops === undefined) throw new TroupeError("usage", `"${text}" is no change of a schedule`, { advice: 'write "OPS: FIELD=VALUE …"' }); // prettier-ignore
    return { ops, where: fieldsOf(where), to: fieldsOf(to!) };
  });
}

const [double, single] = flags.blocks.split(",").map(Number);
const folder = mkdtempSync(join(tmpdir(), "step-"));
writeFluxFolder(folder, { num_layers: double!, num_single_layers: single! });
using machine = await openMachine({ device: "cuda" });
const { device, providers } = machine;
const model = await openImageModel(folder, { randomWeights: true });
using pool = new WeightPool();
const plans = new StepPlans(machine, model, { batch: PICTURES, steps: STEPS });
const { component, graph } = plans;
const regions = new Regions(graph);
const rules = await plans.plan("rules");
const tile = providers.get("tile")!;

/** A step under the changes that are of it. */
async function changed(step: PlanStep, changes: readonly Change[]): Promise<PlanStep> {
  const { schedule } = step.choice.params as { readonly schedule?: Fields };
  if (step.kind !== "region" || step.choice.provider !== "tile" || !schedule) return step;
  const own = changes.filter(({ ops, where }) => step.choice.id.startsWith(`${ops} `) && Object.entries(where).every(([name, value]) => schedule[name] === value)); // prettier-ignore
  if (own.length === 0) return step;
  const to = Object.assign({}, schedule, ...own.map((change) => change.to)) as Fields;
  const params = { ...step.choice.params, schedule: Object.fromEntries(Object.entries(to).filter(([, value]) => value !== false)) } as Params; // prettier-ignore
  const made = params["schedule"] as unknown as MatmulSchedule | AttentionSchedule;
  const fits = made.kind === "matmul" ? checkMatmul(made) : checkAttention(made, HEAD_WIDTH, HEAD_WIDTH);
  if ("cannot" in fits) throw new TroupeError("plan", fits.cannot);
  const candidate = tile.revive(regions.region(step.nodes), { ...step.choice, params });
  if (isCannot(candidate)) throw new TroupeError("plan", candidate.cannot);
  await candidate.warm?.();
  return { ...step, choice: { ...step.choice, id: candidate.id, params }, workspaceBytes: candidate.workspaceBytes };
}

async function planOf(changes: readonly Change[]): Promise<Plan> {
  const steps = await Promise.all(rules.steps.map((step) => changed(step, changes)));
  return { ...rules, steps, workspaceBytes: Math.max(...steps.map(({ workspaceBytes }) => workspaceBytes)) };
}

interface Running {
  readonly name: string;
  readonly session: Session;
  readonly ms: number[];
  joules: number;
}
const running: Running[] = [];
for (const variant of ["rules", ...positionals]) {
  try {
    const plan = await planOf(variant === "rules" ? [] : changesOf(variant));
    if (variant !== "rules" && plan.steps.every((step, i) => step === rules.steps[i])) throw new TroupeError("usage", "no step is changed by it"); // prettier-ignore
    const session = await Session.load({ graph, plan, providers, device, weights: component.weights, pool });
    fillInputs(graph, session);
    session.time();
    running.push({ name: variant, session, ms: [], joules: 0 });
  } catch (error) {
    console.log(`without ${variant}: ${messageOf(error)}`);
  }
}
const counter = energyCounter();
const rounds = Number(flags.rounds);
const replays = Number(flags.replays);
for (let round = 0; round < rounds; round++)
  for (const one of round % 2 === 0 ? running : running.toReversed()) {
    const ms: number[] = [];
    one.joules += joulesOf(counter, () => { for (let i = 0; i < replays; i++) ms.push(one.session.time() / 1e3 / PICTURES); }) ?? Number.NaN; // prettier-ignore
    one.ms.push(median(ms));
  }
const base = median(running[0]!.ms);
for (const { name, session, ms, joules } of running) {
  const { kernels } = partsOf(session.profile());
  const told = kernels.filter((kernel) => kernel.ms / PICTURES > WORTH_TELLING_MS).map((kernel) => `${kernel.name} ${(kernel.ms / PICTURES).toFixed(2)}`); // prettier-ignore
  console.log(`${median(ms).toFixed(3)} ms a picture (${((median(ms) / base - 1) * 100).toFixed(2)} %), ${(joules / rounds / replays / PICTURES).toFixed(2)} J, rounds ${ms.map((x) => x.toFixed(2)).join(" ")}, apart: ${told.join(", ")}; ${name}`); // prettier-ignore
  session.dispose();
}
await model.close();
