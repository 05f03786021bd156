// The process that tunes between requests: compiles one shape by measuring, has the result meet the plans that run, and
// ends. It also ends when its parent lets go of it; what was measured until then is kept.
import { championOf } from "../../compile/champion.js";
import { compileComponents } from "../../compile/compile.js";
import { planWork } from "../../compile/contenders.js";
import { openMachine } from "../../compile/machine.js";
import { messageOf } from "../../core/error.js";
import { askForSignalAtParentsDeath } from "../../device/native/parent-death.js";
import { signalGroup, type Better, type Job, type Reply } from "./between.js";
import { imageComponents, openImageModel, type ComponentName } from "./components.js";

/** Time for each component to meet the plan that runs. */
const PROOF_MS = 3000;
/** Time to end the tuner's worker before this process ends whatever it is at. */
const LAST_MS = 1000;
const RUNNING = "running";

const control = new AbortController();
// Whoever stood still while a request ran, and whose parent has died of it, must end all the same.
askForSignalAtParentsDeath("SIGCONT");
process.once("disconnect", () => {
  signalGroup(process.pid, "SIGCONT");
  control.abort();
  setTimeout(() => process.exit(1), LAST_MS).unref();
});

const send = (reply: Reply): Promise<void> =>
  new Promise((resolve) => {
    if (process.connected) process.send!(reply, () => resolve());
    else resolve();
  });

async function better({ folder, randomWeights, shape, device, threads, specs, running, ...options }: Job): Promise<readonly Better[]> {
  const { signal } = control;
  const model = await openImageModel(folder, { randomWeights });
  using machine = await openMachine({ device, threads, specs });
  const compiled = await compileComponents(machine, Object.values(imageComponents(model, shape)), {
    ...options,
    signal,
    onEvent: (event) => void send({ kind: "event", event }),
  });
  const found: Better[] = [];
  for (const made of compiled) {
    const name = made.component.name as ComponentName;
    if (planWork(made.plan) === planWork(running[name])) continue;
    const contenders = [{ label: RUNNING, plan: running[name] }, { label: made.plan.label, plan: made.plan }];
    const { plan, standings: [standing] } = await championOf(machine, made, contenders, { proofMs: PROOF_MS, signal });
    if (plan === made.plan && standing) found.push({ name, plan, standing });
  }
  await model.close();
  return found;
} // prettier-ignore

process.once("message", (job: Job) => {
  void better(job)
    .then((found) => send({ kind: "done", better: found }))
    .catch((error: unknown) => send({ kind: "failed", message: messageOf(error) }))
    .finally(() => process.exit());
});
