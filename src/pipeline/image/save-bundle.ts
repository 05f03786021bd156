// A bundle made: plans, compiled code, weights as the sessions keep them, configs and tokenizers in one folder, which
// appears whole or not at all.
import { randomUUID } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { cp, mkdir, readdir, rename, rm, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import type { CompiledComponent } from "../../compile/component.js";
import { openMachine, type Machine } from "../../compile/machine.js";
import { messageOf, TroupeError } from "../../core/error.js";
import { version } from "../../core/version.js";
import { findCompiler, usedCode, watchCode } from "../../device/cpu/compile.js";
import type { Buffer } from "../../device/device.js";
import { isCannot } from "../../device/native/found.js";
import { verifyGraph } from "../../graph/verify.js";
import { graphHash } from "../../plan/assemble.js";
import type { Plan } from "../../plan/plan.js";
import { rewriteGraph } from "../../rewrite/passes.js";
import { writeKept } from "../../session/kept-weights.js";
import { openWeights } from "../../weights/folder.js";
import { BUNDLE_FILE, CODE_FOLDER, PLANS_FOLDER, stampOf, WEIGHTS_FILE, type BundleForm, type Stamp } from "./bundle-form.js"; // prettier-ignore
import { COMPONENTS, type ComponentName, type ImageModel, type ImageShape } from "./components.js";
import { ImageEngine } from "./engine.js";

export interface BundleContents {
  readonly model: ImageModel;
  readonly machine: Machine;
  readonly shape: ImageShape;
  readonly compiled: Readonly<Record<ComponentName, CompiledComponent>>;
}

/** Where a model's folder keeps its configs and tokenizers, and its weights. */
const CONFIGS = ["scheduler", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "transformer", "vae"];
export const STORES = ["text_encoder", "text_encoder_2", "transformer", "vae"] as const;
const IS_WEIGHTS = /\.(safetensors|bin|pt|pth|ckpt|onnx|msgpack|h5)$|\.index(\.[^.]+)?\.json$/;
/** The runtime of compiled code that Node does not bring. */
const OPENMP = "libgomp.so.1";

/** Throws TroupeError("usage" | "io") where no bundle could be put: said before long work and not after it. */
export async function expectBundlePlace(folder: string): Promise<void> {
  if (existsSync(join(folder, BUNDLE_FILE))) return;
  const there = await readdir(folder).catch((cause: unknown) => {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw unwritable(folder, cause);
  });
  if (there.length > 0) throw refused(`${folder} holds other files`);
  const draft = `${folder}.${randomUUID()}.tmp`;
  await mkdir(draft, { recursive: true }).catch((cause: unknown) => {
    throw unwritable(folder, cause);
  });
  await rm(draft, { recursive: true });
}

/** Throws TroupeError("usage") for what cannot be bundled, ("io") when the folder cannot be written. */
export async function saveBundle(folder: string, contents: BundleContents): Promise<void> {
  const { machine, model } = contents;
  if (machine.device.target.device !== "cpu") throw refused("plans of a GPU are not bundled yet");
  if (existsSync(join(model.config.folder, BUNDLE_FILE))) throw refused(`${model.config.folder} is a bundle already`);
  const isLowered = ({ graph, component }: CompiledComponent): boolean =>
    graphHash(graph) !== graphHash(rewriteGraph(verifyGraph(component.graph)));
  if (Object.values(contents.compiled).some(isLowered)) throw refused("plans of lowered precision are not bundled yet");
  await expectBundlePlace(folder);
  const draft = `${folder}.${randomUUID()}.tmp`;
  try {
    await mkdir(draft, { recursive: true });
    await fill(draft, contents);
    if (existsSync(folder)) {
      const old = `${draft}.old`;
      await rename(folder, old);
      await rename(draft, folder);
      await rm(old, { recursive: true });
    } else await rename(draft, folder);
  } catch (cause) {
    await rm(draft, { recursive: true, force: true }).catch(() => undefined); // the first failure is the one to tell
    if (cause instanceof TroupeError) throw cause;
    throw unwritable(folder, cause);
  }
}

const unwritable = (folder: string, cause: unknown): TroupeError =>
  new TroupeError("io", `the bundle cannot be written to ${folder}: ${messageOf(cause)}`, {
    advice: "Check the folder and the free space.",
    cause,
  });

const refused = (why: string): TroupeError =>
  new TroupeError("usage", `no bundle is made: ${why}`, { advice: "Name a new folder, and a model's own folder on the CPU." }); // prettier-ignore

async function fill(draft: string, { model, machine, shape, compiled }: BundleContents): Promise<void> {
  const used = new Set(Object.values(compiled).flatMap(({ plan }) => plan.steps.map(({ choice }) => choice.provider)));
  const { target } = machine.device;
  const specs = machine.specs.filter(({ name }) => used.has(name));
  // Everything that loading asks the compiler for is what a bundle must hold.
  watchCode();
  using again = await openMachine({ threads: target.threads, specs });
  using engine = await ImageEngine.load(again, model, shape, compiled);
  await mkdir(join(draft, CODE_FOLDER));
  for (const file of usedCode()) await cp(file, join(draft, CODE_FOLDER, basename(file)));
  const openmp = loadedFile(OPENMP);
  if (openmp) await cp(openmp, join(draft, CODE_FOLDER, OPENMP), { dereference: true });
  await mkdir(join(draft, PLANS_FOLDER));
  for (const name of COMPONENTS)
    await writeFile(
      join(draft, PLANS_FOLDER, `${name}.json`),
      `${JSON.stringify(asUsed(compiled[name].plan, again))}\n`,
    );
  const buffers = new Map<string, Buffer>(COMPONENTS.flatMap((name) => [...engine.session(name).kept()]));
  const weights = await writeKept(join(draft, WEIGHTS_FILE), buffers);
  await copyConfigs(model.config.folder, draft);
  const compiler = await findCompiler();
  const form: BundleForm = {
    format: 1,
    troupe: version(),
    shape,
    target,
    providers: [...used].sort(),
    ...(!isCannot(compiler) && { compiler }),
    libraries: openmp ? [OPENMP] : [],
    tensors: await tensorsOf(model.config.folder),
    weights,
    files: await stampsOf(draft),
  };
  await writeFile(join(draft, BUNDLE_FILE), `${JSON.stringify(form)}\n`);
}

/** The plan with the versions of the providers that it runs on, and of no others. */
const asUsed = (plan: Plan, { versions }: Machine): Plan => ({ ...plan, versions });

async function copyConfigs(from: string, to: string): Promise<void> {
  await cp(join(from, "model_index.json"), join(to, "model_index.json"));
  for (const name of CONFIGS) {
    await mkdir(join(to, name));
    for (const entry of await readdir(join(from, name), { withFileTypes: true }))
      if (!entry.isDirectory() && !IS_WEIGHTS.test(entry.name))
        await cp(join(from, name, entry.name), join(to, name, entry.name), { dereference: true });
  }
}

/** Names and types of the checkpoint's tensors, which graphs are checked against. */
async function tensorsOf(folder: string): Promise<BundleForm["tensors"]> {
  const tensors: Record<string, BundleForm["tensors"][string]> = {};
  for (const name of STORES) {
    const store = await openWeights(join(folder, name));
    try {
      const entries = store.names().map((tensor) => {
        const { dtype, shape } = store.get(tensor);
        return [tensor, { dtype, shape }] as const;
      });
      tensors[name] = Object.fromEntries(entries) as BundleForm["tensors"][string];
    } finally {
      await store.close();
    }
  }
  return tensors;
}

async function stampsOf(folder: string): Promise<Readonly<Record<string, Stamp>>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.path, entry.name));
  const stamps: Record<string, Stamp> = {};
  for (const file of files.sort()) stamps[file.slice(folder.length + 1)] = await stampOf(file);
  return stamps;
}

/** The file behind a shared library that this process has loaded, where the system tells. */
function loadedFile(name: string): string | undefined {
  try {
    const maps = readFileSync("/proc/self/maps", "utf8");
    return maps.split("\n").map((line) => line.slice(line.indexOf("/"))).find((path) => basename(path).startsWith(name)); // prettier-ignore
  } catch {
    return undefined;
  }
}
