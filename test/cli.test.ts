// The command line as a user meets it: bin/troupe.js in a process of its own. Wrong input ends with one message, a code,
// advice and a semantic status, before long work begins and with nothing half-written.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cp, mkdtemp, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { ownCache } from "../src/core/cache.fixture.js";
import { totalBytes, type MemoryNeeds } from "../src/session/needs.js";
import { decodePng } from "../src/pipeline/image/png.js";

const MODEL = "models/flux-shapes";
const GOLDEN = `${MODEL}/golden.safetensors`;
const COMPONENTS = ["clip", "t5", "prepare", "step", "decode"];
const PROMPT = ["--prompt", "a large red circle in the center, on a white background"];

interface Ended {
  readonly status: number;
  readonly out: string;
  readonly err: string;
}

let folder = "";
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "troupe-cli-"));
  ownCache(join(folder, "cache"));
});
after(() => rm(folder, { recursive: true, force: true }));

/** One library and the reference: compiling our own kernels is the longest part, and other tests do it. */
function troupe(...args: readonly string[]): Promise<Ended> {
  const env = {
    ...process.env,
    TROUPE_CACHE: join(folder, "cache"),
    TROUPE_DEBUG: "",
    TROUPE_WITHOUT: "tile,blas,libxsmm,onednn",
  };
  return new Promise((resolve) => {
    execFile(process.execPath, ["bin/troupe.js", ...args], { env }, (error, out, err) => {
      resolve({ status: error === null ? 0 : Number(error.code), out, err });
    });
  });
}

/** The lines of --json. */
const linesOf = ({ out }: Ended): Record<string, unknown>[] =>
  out.trim().split("\n").map((line) => JSON.parse(line) as Record<string, unknown>); // prettier-ignore

interface Mistake {
  readonly what: string;
  readonly args: () => readonly string[];
  readonly status: number;
  readonly says: RegExp;
}

/** A later -o wins. */
const run =
  (...args: readonly string[]) =>
  (): readonly string[] => ["run", MODEL, ...PROMPT, "-o", join(folder, "never.png"), ...args];

const MISTAKES: readonly Mistake[] = [
  { what: "no command", args: () => [], status: 2, says: /Usage: troupe/ },
  { what: "an unknown command", args: () => ["paint"], status: 2, says: /error \(usage\): unknown command 'paint'/ },
  { what: "an unknown option", args: run("--colour"), status: 2, says: /error \(usage\): unknown option '--colour'/ },
  { what: "a model too many", args: () => ["compile", MODEL, MODEL], status: 2, says: /error \(usage\): too many arg/ },
  { what: "no prompt", args: () => ["run", MODEL], status: 2, says: /error \(usage\): .*--prompt/ },
  { what: "an empty prompt", args: () => ["run", MODEL, "--prompt", "  "], status: 2, says: /the prompt is empty/ },
  { what: "no steps", args: run("--steps", "0"), status: 2, says: /--steps.*whole number of at least 1/ },
  { what: "negative steps", args: run("--steps", "-4"), status: 2, says: /--steps/ },
  { what: "steps in words", args: run("--steps", "four"), status: 2, says: /--steps.*whole number/ },
  { what: "too many steps", args: run("--steps", "1001"), status: 2, says: /1001 is no number of steps/ },
  { what: "half a seed", args: run("--seed", "0.5"), status: 2, says: /--seed.*whole number/ },
  { what: "guidance in words", args: run("--guidance", "much"), status: 2, says: /--guidance.*number/ },
  { what: "a size off the grid", args: run("--size", "250x256"), status: 2, says: /multiples of 16/ },
  { what: "no size", args: run("--size", "0x0"), status: 2, says: /0x0 cannot be drawn/ },
  { what: "a huge size", args: run("--size", "9999999x16"), status: 2, says: /9999999x16 cannot be drawn/ },
  { what: "a size in words", args: run("--size", "big"), status: 2, says: /--size.*WIDTHxHEIGHT/ },
  { what: "an unknown dtype", args: run("--dtype", "f64"), status: 2, says: /--dtype.*choose auto, f32, bf16/ },
  { what: "no threads", args: run("--threads", "0"), status: 2, says: /--threads.*at least 1/ },
  { what: "memory in words", args: run("--memory", "lots"), status: 2, says: /--memory.*20GiB or 500MB/ },
  { what: "memory for less than the weights", args: run("--memory", "30MB"), status: 6, says: /error \(memory\): it needs at least \d+ MB .*there are 30 MB/ },
  { what: "a budget in words", args: run("--budget", "soon"), status: 2, says: /--budget.*90s or 5m/ },
  { what: "a missing model", args: () => ["run", "no/such/model", ...PROMPT], status: 7, says: /error \(io\): .*model_index/ },
  { what: "a foreign folder", args: () => ["compile", join(folder, "foreign")], status: 3, says: /error \(model\): .*pipeline/ },
  { what: "broken weights", args: () => ["run", join(folder, "broken"), ...PROMPT], status: 3, says: /error \(weights\): / },
  { what: "an output in no folder", args: run("-o", "/no/such/folder/x.png"), status: 7, says: /error \(io\): cannot write/ },
  { what: "an output that is a folder", args: () => [...run("-o")(), folder], status: 7, says: /it is a folder/ },
  { what: "an output below a file", args: run("-o", "package.json/x.png"), status: 7, says: /error \(io\): cannot write/ },
  { what: "missing latents", args: run("--latents", "no.safetensors"), status: 7, says: /error \(io\): .*no\.safetensors/ },
  { what: "foreign latents", args: run("--latents", "package.json"), status: 3, says: /error \(weights\): .*package\.json/ },
  { what: "more prompts than noise", args: run("--prompt", "second", "third", "--latents", GOLDEN), status: 2, says: /error \(usage\): .*noise for/ },
  { what: "a missing golden file", args: () => ["verify", MODEL, "no.safetensors"], status: 7, says: /error \(io\): / },
  { what: "nothing to explain", args: () => ["explain", MODEL, "--size", "16x16"], status: 5, says: /error \(plan\): no plan/ },
  { what: "strictness about nothing", args: run("--strict"), status: 2, says: /error \(usage\): --strict is about --lock/ },
  { what: "a lock that is none", args: run("--lock", "package.json"), status: 5, says: /error \(plan\): package\.json is no plan or lock/ },
  { what: "a missing lock", args: run("--lock", "no.json"), status: 7, says: /error \(io\): no\.json cannot be read/ },
  { what: "a plan that is none", args: () => ["explain", "package.json"], status: 5, says: /error \(plan\): package\.json is no plan/ },
  { what: "an unknown provider", args: () => ["conform", "--provider", "abacus"], status: 2, says: /--provider.*choose/ },
  { what: "following at another size", args: () => ["follow", MODEL, "--size", "128x128"], status: 2, says: /256x256/ },
]; // prettier-ignore

describe("wrong input", { concurrency: 2 }, () => {
  before(async () => {
    await mkdir(join(folder, "foreign"));
    await writeFile(join(folder, "foreign", "model_index.json"), JSON.stringify({ _class_name: "OtherPipeline" }));
    await copyModel(join(folder, "broken"), (weights) => weights.subarray(0, 1_000_000));
  });
  for (const { what, args, status, says } of MISTAKES)
    it(`${what}: status ${status}, one message`, async () => {
      const ended = await troupe(...args());
      assert.match(ended.err, says);
      assert.equal(ended.status, status, ended.err);
      assert.doesNotMatch(ended.err, /^\s+at /m, "no stack");
      assert.equal(ended.err.match(/^error/gm)?.length ?? 0, what === "no command" ? 0 : 1, ended.err);
      assert.equal(ended.out, "");
    });
  it("with --json the error is a line for programs", async () => {
    const ended = await troupe("run", MODEL, ...PROMPT, "--json", "--steps", "1001");
    const [error] = linesOf(ended) as [Record<string, unknown>];
    assert.deepEqual([error.kind, error.code, ended.status, ended.err], ["error", "usage", 2, ""]);
    assert.match(String(error.advice), /1 to 1000/);
  });
  it("a stack is shown when TROUPE_DEBUG asks for it", async () => {
    const shown = await new Promise<string>((resolve) => {
      const env = { ...process.env, TROUPE_DEBUG: "1" };
      execFile(process.execPath, ["bin/troupe.js", "explain", "package.json"], { env }, (_, __, err) => resolve(err));
    });
    assert.match(shown, /^\s+at /m);
  });
  after(async () => {
    const left = (await readdir(folder)).filter((name) => name.endsWith(".png") || name.endsWith(".tmp"));
    assert.deepEqual(left, [], "nothing half-written");
  });
});

describe("commands", () => {
  it("run draws several prompts and says where they are; the same seed gives the same picture", async () => {
    const file = join(folder, "two.png");
    const prompts = [...PROMPT, "a small blue star on the left, on a black background"];
    const ended = await troupe("run", MODEL, ...prompts, "-o", file, "--effort", "none", "--seed", "7", "--json");
    assert.equal(ended.status, 0, ended.err);
    const images = linesOf(ended).filter(({ kind }) => kind === "image");
    assert.deepEqual(
      images.map((image) => image.file),
      [join(folder, "two-1.png"), join(folder, "two-2.png")],
    );
    const first = decodePng(await readFile(join(folder, "two-1.png")));
    assert.deepEqual([first.width, first.height], [256, 256]);
    const again = await troupe("run", MODEL, ...PROMPT, "-o", file, "--effort", "none", "--seed", "7", "--quiet");
    assert.equal(again.err, "");
    assert.deepEqual(decodePng(await readFile(file)), first);
  });

  it("what it may take of memory is foreseen, and plans that take more give way", async () => {
    const limit = 75e6;
    const small = [...PROMPT, "--size", "32x32", "--effort", "none", "-o", join(folder, "small.png"), "--json"];
    const foreseen = async (...more: readonly string[]): Promise<number> => {
      const ended = await troupe("run", MODEL, ...small, ...more);
      assert.equal(ended.status, 0, ended.out);
      const { needs } = linesOf(ended).find(({ kind, what }) => kind === "forecast" && what === "running")! as {
        needs: MemoryNeeds;
      };
      return totalBytes(needs);
    };
    const [free, held] = [await foreseen(), await foreseen("--memory", `${limit}`)];
    assert.ok(held <= limit && held <= free && held > 45e6, `${held} bytes of ${free}`);
  });

  it("doctor names the machine, what is there and what is not", async () => {
    const lines = linesOf(await troupe("doctor", "--json"));
    assert.equal(lines[0]!.kind, "machine");
    assert.ok(lines.some(({ kind, name }) => kind === "provider" && name === "reference"));
    assert.match((await troupe("doctor")).out, /^CPU .*\n[^]*providers\n[^]*reference/);
  });

  it("conform passes for the reference and prints a row", async () => {
    const { status, out } = await troupe("conform", "--provider", "reference", "--dtype", "f32", "--effort", "none");
    assert.equal(status, 0);
    assert.match(out, /^reference +\d{2,} +0 .*ok$/m);
  });

  it("compile stores plans and shows the winners; explain tells of them, by model, by op and by file", async () => {
    const shape = ["--size", "32x32"];
    const compiled = await troupe("compile", MODEL, ...shape, "--budget", "15s");
    assert.equal(compiled.status, 0, compiled.err);
    assert.match(compiled.out, /^component +plan .*expected$/m);
    for (const name of COMPONENTS) assert.match(compiled.out, new RegExp(`^${name} `, "m"));
    assert.match(compiled.out, /^step, end to end\n *rival/m);
    assert.match(compiled.err, /^tuning 0\/\d+/m);

    const whole = linesOf(await troupe("explain", MODEL, ...shape, "--json"));
    const components = whole.filter(({ kind }) => kind === "component");
    assert.equal(components.length, COMPONENTS.length);
    const [op] = (components[0]!.regions as { readonly ops: string }[])[0]!.ops.split("+");
    const some = await troupe("explain", MODEL, op!, ...shape);
    assert.match(some.out, /^ +→ +\w+/m);
    const none = await troupe("explain", MODEL, "abacus", ...shape);
    assert.equal(none.status, 2);
    assert.match(none.err, new RegExp(`no part of the plan computes abacus[^]*${op}`));

    const used = Object.keys(components.at(-1)!.usByProvider as object)[0]!;
    const page = join(folder, "explain.html");
    const without = await troupe("explain", MODEL, ...shape, "--without", used, "--html", page, "--json");
    const priced = linesOf(without).filter(({ kind }) => kind === "without");
    assert.equal(priced.length, COMPONENTS.length, without.err);
    for (const { provider } of priced) assert.equal(provider, used);
    assert.match(await readFile(page, "utf8"), new RegExp(`without ${used}[^]*</html>\n$`));

    const plans = join(folder, "cache", "plans");
    const [file] = (await readdir(plans)).filter((name) => name.endsWith(".json"));
    const alone = await troupe("explain", join(plans, file!));
    assert.match(alone.out, /^chosen from .*\n\nprovider +candidate +steps/m);
    const itself = await troupe("explain", join(plans, file!), "--against", join(plans, file!));
    assert.match(itself.out, /steps? by the same kernels[^]*no choice is different/);
    const withModel = await troupe("explain", join(plans, file!), "--model", MODEL, ...shape);
    assert.match(withModel.out, /^ +→ +\w+/m);
    const otherShape = await troupe(
      "explain",
      join(plans, file!),
      "--model",
      MODEL,
      "--size",
      "48x32",
      "--dtype",
      "bf16",
    );
    assert.equal(otherShape.status, 5, otherShape.out);
  });

  it("follow counts what is drawn as asked, and ends with 1 for a model that draws nothing", async () => {
    const count = ["--prompts", "2", "--dtype", "f32", "--effort", "none", "--steps", "1"];
    const good = await troupe("follow", MODEL, ...count, "--json");
    assert.equal(good.status, 0, good.err);
    const [following] = linesOf(good).filter(({ kind }) => kind === "following");
    const { objects, rightObjects, prompts } = following as Record<string, number>;
    assert.equal(prompts, 2);
    assert.ok(rightObjects === objects && objects! >= 2, `${rightObjects} of ${objects}`);
    await copyModel(join(folder, "blank"), (weights) => weights.fill(0, headerBytes(weights)));
    const blank = await troupe("follow", join(folder, "blank"), ...count);
    assert.equal(blank.status, 1, blank.err);
    assert.match(blank.out, new RegExp(`^f32: [0-9]+ of ${objects} objects`));
  });
});

/** The shipped model with the bytes of its transformer's weights changed. */
async function copyModel(to: string, change: (weights: Buffer) => Uint8Array): Promise<void> {
  await cp(MODEL, to, { recursive: true, filter: (file) => !file.endsWith("golden.safetensors") });
  const file = join(to, "transformer/diffusion_pytorch_model.safetensors");
  await writeFile(file, change(await readFile(file)));
}

/** Where the tensors of a safetensors file begin. */
const headerBytes = (file: Buffer): number => 8 + Number(file.readBigUInt64LE(0));
