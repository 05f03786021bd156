// troupe explain: why the plans of a model are as they are: every candidate of every region with time, spread, error,
// layout and verdict. A plan file alone tells its choices; with the model beside it, also what they were chosen from.
import { stat } from "node:fs/promises";
import { Command } from "commander";
import { compileComponents } from "../compile/compile.js";
import { openMachine } from "../compile/machine.js";
import { TroupeError } from "../core/error.js";
import type { Graph } from "../graph/node.js";
import { Regions } from "../graph/region.js";
import { imageComponents, openImageModel, type ImageModel } from "../pipeline/image/components.js";
import { imageShape } from "../pipeline/image/shape.js";
import { graphHash } from "../plan/assemble.js";
import { explainText, isAbout } from "../plan/explain-text.js";
import { explain, type Explanation } from "../plan/explain.js";
import type { Plan } from "../plan/plan.js";
import { readPlan } from "../plan/store.js";
import { rewriteGraph } from "../rewrite/passes.js";
import { RecordStore } from "../tuner/records.js";
import type { CommandContext } from "./context.js";
import { oneOf, pixels, steps, whole, type ModelFlags } from "./options.js";
import { choicesTable } from "./choices.js";
import { Ui } from "./ui.js";

interface ExplainFlags extends Pick<ModelFlags, "device" | "dtype" | "size" | "threads" | "json"> {
  readonly steps?: number;
  readonly model?: string;
}

export const explainCommand = ({ signal }: CommandContext): Command =>
  new Command("explain")
    .description("show for every region all candidates, their times and errors, and why the winner won")
    .argument("<model|plan>", "folder of a compiled model, or a plan file")
    .argument("[op]", "only regions that compute this op, or whose names contain the text")
    .option("--model <folder>", "the model that a plan file was made for")
    .option("--device <device>", "auto (the CPU), cpu or cuda", oneOf("auto", "cpu", "cuda"), "auto")
    .option("--dtype <dtype>", "auto, f32 or bf16", oneOf("auto", "f32", "bf16"), "auto")
    .option("--size <WxH>", "pixels that the model was compiled for", pixels)
    .option("--steps <count>", "denoise steps that the model was compiled for", steps)
    .option("--threads <count>", "CPU threads that the model was compiled for", whole(1))
    .option("--json", "print JSON lines")
    .action(async (what: string, op: string | undefined, flags: ExplainFlags) => {
      const ui = new Ui(flags);
      const isFolder = (await stat(what).catch(() => undefined))?.isDirectory() ?? false;
      if (isFolder || !what.endsWith(".json")) return show(ui, await explainModel(what, flags, signal), op);
      const plan = await readPlan(what);
      if (flags.model !== undefined) return show(ui, [await explainPlan(plan, flags.model, flags)], op);
      for (const { choice, us, kind } of plan.steps) ui.data("choice", { ...choice, us, step: kind });
      ui.result(choicesTable(plan));
      ui.note("add --model FOLDER for what each step computes and what it was chosen from");
    });

function show(ui: Ui, explanations: readonly Explanation[], op: string | undefined): void {
  const about = explanations.filter(({ regions }) => op === undefined || regions.some((one) => isAbout(one, op)));
  if (about.length === 0) {
    const ops = explanations.flatMap(({ regions }) => regions.flatMap((region) => region.ops.split("+")));
    throw new TroupeError("usage", `no part of the plan computes ${op}`, {
      advice: `It computes ${[...new Set(ops)].toSorted().join(", ")}.`,
    });
  }
  for (const explanation of about) {
    ui.data("component", explanation);
    ui.result(explainText(explanation, op === undefined ? {} : { only: op }));
  }
}

/** The stored plans of a model on this machine. */
async function explainModel(folder: string, flags: ExplainFlags, signal: AbortSignal): Promise<Explanation[]> {
  const model = await openImageModel(folder);
  try {
    using machine = await openMachine({ device: flags.device, threads: flags.threads });
    const components = Object.values(imageComponents(model, imageShape(model, flags)));
    const compiled = await compileComponents(machine, components, { effort: "none", signal });
    const known = compiled.filter(({ origin }) => origin === "stored");
    if (known.length === 0)
      throw new TroupeError("plan", `no plan of ${folder} is stored for this machine, its libraries and this shape`, {
        advice: `Run \`troupe compile ${folder}\` with the same --dtype, --size, --steps and --threads first.`,
      });
    return known.map(({ plan, graph }) => explainWith(plan, graph));
  } finally {
    await model.close();
  }
}

async function explainPlan(plan: Plan, folder: string, flags: ExplainFlags): Promise<Explanation> {
  const model = await openImageModel(folder);
  try {
    return explainWith(plan, graphOf(plan, model, flags));
  } finally {
    await model.close();
  }
}

/** The component's graph that a plan was made for. */
function graphOf(plan: Plan, model: ImageModel, flags: ExplainFlags): Graph {
  for (const dtype of flags.dtype === "auto" ? (["f32", "bf16"] as const) : [flags.dtype]) {
    for (const component of Object.values(imageComponents(model, imageShape(model, { ...flags, dtype })))) {
      const graph = rewriteGraph(component.graph);
      if (graphHash(graph) === plan.graph.hash) return graph;
    }
  }
  throw new TroupeError("plan", `the plan was made for another graph than this model has (${plan.graph.name})`, {
    advice: "Name the model it was made for, and its --dtype, --size and --steps.",
  });
}

function explainWith(plan: Plan, graph: Graph): Explanation {
  const records = new RecordStore(plan.target);
  return explain(plan, new Regions(graph), (signature) => records.get(signature, plan.target.threads));
}
