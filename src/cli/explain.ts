// troupe explain: why the plans of a model are as they are, how two plans differ, what doing without a provider would
// cost. A plan or lock file alone tells its choices; with the model beside it, also what they were chosen from.
import { stat } from "node:fs/promises";
import { basename, resolve } from "node:path";
import { Command } from "commander";
import { compileComponents } from "../compile/compile.js";
import type { CompiledComponent } from "../compile/component.js";
import { graphOfPlans } from "../compile/lowered.js";
import { openMachine, type Machine } from "../compile/machine.js";
import { planWithout, type Without } from "../compile/without.js";
import { TroupeError } from "../core/error.js";
import type { Graph } from "../graph/node.js";
import { Regions } from "../graph/region.js";
import { loweredPlans } from "../pipeline/image/calibration.js";
import { imageComponents, openImageModel, type ImageModel, type ImageShape } from "../pipeline/image/components.js";
import { defaultSteps, imageShape, type ShapeRequest } from "../pipeline/image/shape.js";
import { differenceOf, isComparable, type PlanDifference } from "../plan/difference.js";
import { differenceText } from "../plan/difference-text.js";
import { explainText, isAbout } from "../plan/explain-text.js";
import { explain, type ExplainOptions, type Explanation } from "../plan/explain.js";
import { readLock } from "../plan/lock.js";
import type { Plan } from "../plan/plan.js";
import type { Rates } from "../plan/roofline.js";
import { writeWhole } from "../plan/store.js";
import { isCannot } from "../provider/provider.js";
import { measureCeiling } from "../report/bench/ceiling.js";
import type { Ceiling } from "../report/bench/figures.js";
import { explainPage } from "../report/explain/page.js";
import { rewriteGraph } from "../rewrite/passes.js";
import { RecordStore } from "../tuner/records/records.js";
import { choicesTable } from "./choices.js";
import type { CommandContext } from "./context.js";
import { finite, memory, oneOf, pixels, promptsOf, steps, whole, type ModelFlags } from "./options.js";
import { Ui } from "./ui.js";
import { showWinners } from "./winners.js";

interface ExplainFlags extends Pick<ModelFlags, "device" | "dtype" | "size" | "threads" | "randomWeights" | "json"> {
  readonly steps?: number;
  readonly memory?: number;
  readonly maxError?: number;
  readonly calibration?: readonly string[];
  readonly model?: string;
  readonly against?: string;
  readonly without?: string;
  readonly roofline?: boolean;
  readonly html?: string;
}

/** What is told, before it takes a form. */
interface Told {
  readonly about: readonly string[];
  readonly notes: readonly string[];
  readonly plans: readonly Plan[];
  /** Of the plans' graphs, where their model is known, in the same order. */
  readonly regions: readonly Regions[];
  readonly explanations: readonly Explanation[];
  readonly without: readonly Without[];
  /** What is compiled, for the table of winners; of a file nothing is. */
  readonly compiled: readonly CompiledComponent[];
}

export const explainCommand = ({ signal }: CommandContext): Command =>
  new Command("explain")
    .description("show for every region all candidates, their times and errors, and why the winner won")
    .argument("<model|plan>", "folder of a compiled model, or a plan or lock file")
    .argument("[op]", "only regions that compute this op, or whose names contain the text")
    .option("--against <file>", "how the plans differ from those of this plan or lock file")
    .option("--without <provider>", "what it would cost to do without a provider, from what was measured")
    .option("--memory <size>", "the plans that are taken where no more may be used, like 20GiB", memory)
    .option("--roofline", "measure the machine's rates now and show each region's time over its floor")
    .option("--html <file>", "also write one self-contained page")
    .option("--model <folder>", "the model that a plan file was made for")
    .option("--device <device>", "auto (the CPU), cpu or cuda", oneOf("auto", "cpu", "cuda"), "auto")
    .option("--dtype <dtype>", "auto, f32 or bf16", oneOf("auto", "f32", "bf16"), "auto")
    .option("--size <WxH>", "pixels that the model was compiled for", pixels)
    .option("--steps <count>", "denoise steps that the model was compiled for", steps)
    .option("--max-error <error>", "the largest error that the model was compiled for", finite)
    .option("--calibration <file>", "the prompts that it was measured on, one a line", promptsOf)
    .option("--threads <count>", "CPU threads that the model was compiled for", whole(1))
    .option("--random-weights", "the model was compiled with weights made up")
    .option("--json", "print JSON lines")
    .action(async (what: string, op: string | undefined, flags: ExplainFlags) => {
      const ui = new Ui(flags);
      const isFolder = (await stat(what).catch(() => undefined))?.isDirectory() ?? false;
      const isModel = isFolder || !what.endsWith(".json");
      const against = flags.against === undefined ? [] : (await readLock(flags.against)).plans;
      const told = isModel ? await tellModel(what, flags, signal) : await tellFile(what, flags);
      const differences = [
        ...told.without.map(({ difference }) => difference),
        ...told.plans.flatMap(
          (plan, i) =>
          against.filter((old) => isComparable(old, plan)).map((old) => differenceOf(old, plan, old.graph.hash === plan.graph.hash ? told.regions[i] : undefined)), // prettier-ignore
        ),
      ];
      if (flags.against !== undefined && differences.length === told.without.length)
        throw new TroupeError("usage", `${flags.against} has no plan of the same component`, {
          advice: `There are ${told.plans.map(({ graph }) => graph.name).join(", ")}.`,
        });
      const isDifference = differences.length > 0;
      const shown = isDifference ? [] : onlyAbout(told.explanations, op);
      show(ui, told, shown, differences);
      if (flags.html === undefined) return;
      const title = basename(resolve(what));
      await writeWhole(flags.html, explainPage({ title, about: told.about, notes: told.notes, explanations: onlyAbout(told.explanations, op), differences })); // prettier-ignore
      ui.result(flags.html);
    });

function show(ui: Ui, told: Told, explanations: readonly Explanation[], differences: readonly PlanDifference[]): void {
  for (const text of told.notes) {
    ui.data("note", { text });
    ui.note(text);
  }
  for (const explanation of explanations) {
    ui.data("component", explanation);
    ui.result(explainText(explanation));
  }
  if (explanations.length > 1) showWinners(ui, told.compiled);
  for (const { provider, ratio, unmeasured, difference } of told.without) {
    ui.data("without", { provider, ratio, unmeasured, component: difference.component });
    ui.result(`without ${provider} ${difference.component} would take ${ratio === undefined ? `a time that is not known: ${unmeasured} steps were never measured` : `${ratio.toFixed(3)} × as long`}`); // prettier-ignore
  }
  for (const difference of differences) {
    ui.data("difference", difference);
    ui.result(differenceText(difference));
  }
  if (explanations.length > 0 || differences.length > 0) return;
  for (const plan of told.plans) {
    for (const { choice, us, kind } of plan.steps)
      ui.data("choice", { component: plan.graph.name, ...choice, us, step: kind });
    ui.result(choicesTable(plan));
  }
  ui.note("add --model FOLDER for what each step computes and what it was chosen from");
}

/** Throws TroupeError("usage") naming the ops there are. */
function onlyAbout(explanations: readonly Explanation[], op: string | undefined): readonly Explanation[] {
  if (op === undefined || explanations.length === 0) return explanations;
  const about = explanations.flatMap((one) => {
    const regions = one.regions.filter((region) => isAbout(region, op));
    return regions.length > 0 ? [{ ...one, regions }] : [];
  });
  if (about.length > 0) return about;
  const ops = explanations.flatMap(({ regions }) => regions.flatMap((region) => region.ops.split("+")));
  throw new TroupeError("usage", `no part of the plan computes ${op}`, {
    advice: `It computes ${[...new Set(ops)].toSorted().join(", ")}.`,
  });
}

/** The stored plans of a model on this machine. */
async function tellModel(folder: string, flags: ExplainFlags, signal: AbortSignal): Promise<Told> {
  const model = await openImageModel(folder, { randomWeights: flags.randomWeights });
  try {
    using machine = await openMachine({ device: flags.device, threads: flags.threads });
    const shape = imageShape(model, flags);
    const components = Object.values(imageComponents(model, shape));
    const notes: string[] = [];
    const compiled = await compileComponents(machine, components, {
      effort: "none",
      memoryBytes: flags.memory,
      signal,
      onEvent: (event) => event.kind === "note" && notes.push(event.text),
    });
    const stored = compiled.filter(({ origin }) => origin === "stored");
    if (stored.length === 0)
      throw new TroupeError("plan", `no plan of ${folder} is stored for this machine, its libraries and this shape`, {
        advice: `Run \`troupe compile ${folder}\` with the same --dtype, --size, --steps and --threads first.`,
      });
    const known =
      flags.maxError === undefined ? stored : await withinError(machine, model, compiled, flags, shape, signal);
    const unknown = compiled.filter(({ origin }) => origin !== "stored").map(({ component }) => component.name);
    const without: Without[] = [];
    for (const component of known)
      if (flags.without !== undefined) without.push(await planWithout(machine, component, flags.without));
    const { hardware, isa, threads } = machine.device.target;
    const rates = flags.roofline ? await measureCeiling(machine, shape.dtype) : undefined;
    return {
      about: [
        `${hardware}, ${isa.name}, ${threads} threads, ${shape.dtype}, ${shape.size.width}×${shape.size.height} pixels`,
        `providers: ${Object.entries(machine.versions).map(([name, version]) => `${name} ${version}`).join(", ")}`, // prettier-ignore
      ],
      notes: [
        ...notes,
        ...(unknown.length > 0 ? [`nothing is stored of ${unknown.join(", ")}`] : []),
        ...machine.notes,
        ...machine.opened.cannot.map(({ name, reason }) => `${name} is not used: ${reason}`),
        ...(rates ? [ratesText(rates)] : []),
        ...new RecordStore(machine.device.target).remarks,
      ],
      plans: known.map(({ plan }) => plan),
      regions: known.map(({ graph }) => new Regions(graph)),
      explanations: known.map(({ plan, graph }) => explainWith(plan, graph, machine, rates)),
      without,
      compiled: known,
    };
  } finally {
    await model.close();
  }
}

/** The components with the plans that were stored for a largest error. */
async function withinError(
  machine: Machine,
  model: ImageModel,
  compiled: readonly CompiledComponent[],
  { maxError, calibration, steps: taken = defaultSteps(model) }: ExplainFlags,
  shape: ImageShape,
  signal: AbortSignal,
): Promise<readonly CompiledComponent[]> {
  const byName = Object.fromEntries(compiled.map((one) => [one.component.name, one])) as Parameters<
    typeof loweredPlans
  >[1];
  const load = (): never => {
    throw new TroupeError("internal", "nothing is measured to explain a plan");
  };
  const inBf16 = imageComponents(model, { ...shape, dtype: "bf16" });
  const options = { maxError: maxError!, calibration, steps: taken, inBf16, effort: "none", signal } as const;
  const plans = Object.values(await loweredPlans(machine, byName, load, options));
  if (plans.every(({ plan }, i) => plan === compiled[i]!.plan))
    throw new TroupeError("plan", `no plan of ${model.name} within an error of ${maxError} is stored`, {
      advice: `Run \`troupe compile\` with --max-error ${maxError} and the same options first.`,
    });
  return plans;
}

const ratesText = ({ flopsPerSecond, bytesPerSecond, side }: Ceiling): string =>
  `measured now: ${(flopsPerSecond / 1e9).toFixed(0)} GFLOP/s by a product of ${side}³, ${(bytesPerSecond / 1e9).toFixed(1)} GB/s read and written`;

/** The plans of a file, explained where their model is named. */
async function tellFile(file: string, flags: ExplainFlags): Promise<Told> {
  if (flags.without !== undefined || flags.roofline)
    throw new TroupeError("usage", "--without and --roofline are about a model on this machine", {
      advice: "Name the model's folder instead of a plan file.",
    });
  const { plans, about } = await readLock(file);
  const [{ target }] = plans as [Plan];
  const told = [`${target.hardware}, ${target.isa.name}, ${target.threads} threads`];
  const nothing = {
    about: told,
    notes: plans.flatMap(({ notes }) => notes),
    plans,
    regions: [],
    explanations: [],
    without: [],
    compiled: [],
  };
  if (flags.model === undefined) return nothing;
  const model = await openImageModel(flags.model);
  try {
    const { width, height, steps: locked } = about;
    const size = flags.size ?? (width !== undefined && height !== undefined ? { width, height } : undefined);
    const asked = { dtype: flags.dtype, size, steps: flags.steps ?? locked };
    return { ...nothing, notes: [], explanations: plans.map((plan) => explainWith(plan, graphOf(plan, model, asked))) };
  } finally {
    await model.close();
  }
}

/** The component's graph that a plan was made for. */
function graphOf(plan: Plan, model: ImageModel, asked: ShapeRequest): Graph {
  for (const dtype of asked.dtype === "bf16" || asked.dtype === "f32" ? [asked.dtype] : (["f32", "bf16"] as const)) {
    for (const component of Object.values(imageComponents(model, imageShape(model, { ...asked, dtype })))) {
      const graph = graphOfPlans(rewriteGraph(component.graph), [plan]);
      if (graph) return graph;
    }
  }
  throw new TroupeError("plan", `the plan was made for another graph than this model has (${plan.graph.name})`, {
    advice: "Name the model it was made for, and its --dtype, --size and --steps.",
  });
}

/** Estimates of candidates that are here as they were recorded. */
const forecastBy =
  ({ providers, forecast }: Machine): NonNullable<ExplainOptions["forecastUs"]> =>
  (region, choice) => {
    if (!forecast.covers(region)) return undefined;
    const candidate = providers.get(choice.provider)?.revive(region, choice);
    return candidate && !isCannot(candidate) ? forecast.estimate(region, candidate) : undefined;
  };

function explainWith(plan: Plan, graph: Graph, machine?: Machine, rates?: Rates): Explanation {
  const records = new RecordStore(plan.target);
  const { versions = plan.versions } = machine ?? {};
  return explain(plan, new Regions(graph), (signature) => records.get(signature, plan.target.threads, versions), {
    rates,
    ...(machine && { versions, forecastUs: forecastBy(machine) }),
  });
}
