// A bundle: drawn with in another process without a compiler and without a place to write, bit-equal with the process
// that made it; refused with the reason where it does not fit. `tools/bundle-chroot.mjs` does it in a root of its own.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cp, mkdtemp, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { promisify } from "node:util";
import { findCompiler } from "../src/device/cpu/compile.js";
import { isCannot } from "../src/device/native/found.js";
import { PROVIDERS, textToImage, TroupeError, type Plan } from "../src/index.js";
import { stampOf, type BundleForm } from "../src/pipeline/image/bundle-form.js";
import { openBundle } from "../src/pipeline/image/open-bundle.js";
import { decodePng, type Picture } from "../src/pipeline/image/png.js";

const PROMPT = "a small blue star on the left, on a black background";
const compiler = await findCompiler();
const scratch = await mkdtemp(join(tmpdir(), "troupe-bundle-"));
const bundle = join(scratch, "bundle");
after(() => rm(scratch, { recursive: true, force: true }));

const isPlanError =
  (says: RegExp) =>
  (error: unknown): boolean => {
    assert.ok(error instanceof TroupeError, String(error));
    assert.equal(error.code, "plan");
    assert.match(error.message, says);
    assert.ok(error.advice);
    return true;
  };

describe("a bundle", { skip: isCannot(compiler) ? compiler.cannot : false }, () => {
  let here: Picture;
  before(async () => {
    const providers = PROVIDERS.filter(({ name }) => name === "tile" || name === "reference");
    await using draw = await textToImage("models/flux-shapes", { effort: "none", dtype: "bf16", providers });
    here = await draw(PROMPT, { seed: 5 });
    await draw.saveBundle(bundle);
    await draw.saveBundle(bundle); // takes the place of the one before
  });

  /** A copy of the bundle with `name` changed, and its stamp with it unless the change is to be noticed. */
  async function changed(name: string, change: (path: string) => Promise<void>, stamped = true): Promise<string> {
    const folder = await mkdtemp(join(scratch, "changed-"));
    await cp(bundle, folder, { recursive: true });
    await change(join(folder, name));
    if (!stamped) return folder;
    const path = join(folder, "bundle.json");
    const form = JSON.parse(await readFile(path, "utf8")) as BundleForm;
    const files = { ...form.files, [name]: await stampOf(join(folder, name)) };
    await writeFile(path, JSON.stringify({ ...form, files }));
    return folder;
  }
  const edited =
    <T>(edit: (data: T) => object) =>
    async (path: string): Promise<void> =>
      writeFile(path, JSON.stringify(edit(JSON.parse(await readFile(path, "utf8")) as T)));

  it("runs without compiler and cache, bit-equal, and leaves nothing beside it", async () => {
    const env = { ...process.env, TROUPE_CC: "none", TROUPE_CACHE: "/dev/null/nowhere" };
    const file = join(scratch, "there.png");
    await promisify(execFile)(
      process.execPath,
      ["bin/troupe.js", "run", bundle, "--prompt", PROMPT, "--seed", "5", "-o", file],
      { env },
    );
    assert.deepEqual(Buffer.from(decodePng(await readFile(file)).pixels), Buffer.from(here.pixels));
    const beside = await readdir(scratch);
    assert.deepEqual(beside.filter((name) => name.includes(".tmp")), []); // prettier-ignore
  });

  it("is not tuned and draws no other shape", async () => {
    await using draw = await textToImage(bundle);
    await assert.rejects(draw.tune(), (error) => error instanceof TroupeError && error.code === "usage");
    await assert.rejects(draw(PROMPT, { size: { width: 128, height: 128 } }), isPlanError(/made for 256x256.*128x128/));
    await assert.rejects(draw.saveBundle(join(scratch, "again")), /is a bundle already/);
  });

  it("is refused where a file is cut short, changed or gone", async () => {
    const cut = await changed("weights.bin", (path) => truncate(path, 4096), false);
    await assert.rejects(openBundle(cut), isPlanError(/weights\.bin has 4096 bytes instead of/));
    const foreign = await changed(
      "weights.bin",
      async (path) => {
        const bytes = await readFile(path);
        bytes[10_000]! ^= 1;
        await writeFile(path, bytes);
      },
      false,
    );
    await assert.rejects(openBundle(foreign), isPlanError(/weights\.bin is not what it was/));
    await assert.rejects(
      openBundle(await changed("plans/t5.json", (path) => rm(path), false)),
      isPlanError(/t5\.json/),
    );
    await assert.rejects(openBundle(await changed("bundle.json", (path) => writeFile(path, "{"), false)), isPlanError(/bundle\.json cannot be read/)); // prettier-ignore
  });

  it("is refused on another CPU and by another version, with the reason", async () => {
    const made = (target: (was: BundleForm["target"]) => object): Promise<string> =>
      changed(
        "bundle.json",
        edited<BundleForm>((form) => ({ ...form, target: target(form.target) })),
        false,
      );
    const cpu = await made((target) => ({ ...target, hardware: "Z80" }));
    await assert.rejects(openBundle(cpu), isPlanError(/made for hardware Z80, here it is/));
    const isa = await made((target) => ({ ...target, isa: { ...target.isa, name: "neon" } }));
    await assert.rejects(openBundle(isa), isPlanError(/made for isa .*neon/));
    const newer = await changed(
      "bundle.json",
      edited<BundleForm>((form) => ({ ...form, troupe: "99.0.0" })),
      false,
    );
    await assert.rejects(openBundle(newer), isPlanError(/made by troupe 99\.0\.0/));
    const library = await changed("plans/step.json", edited<Plan>((plan) => ({ ...plan, versions: { ...plan.versions, onednn: "9" } }))); // prettier-ignore
    await assert.rejects(textToImage(library), isPlanError(/it uses onednn, which is missing here/));
  });
});
