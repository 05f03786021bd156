// Nowhere to write: a full disk, a read-only folder, a file in a folder's place, a device in a file's. One message with
// code and advice, nothing half-written, nothing replaced.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, openSync, closeSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"; // prettier-ignore
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { TroupeError } from "../src/core/error.js";
import { compileC, findCompiler } from "../src/device/cpu/compile.js";
import { isCannot } from "../src/device/native/found.js";
import { savePng } from "../src/pipeline/image/png.js";
import { expectWritable, savePlan } from "../src/plan/store.js";
import type { Plan } from "../src/plan/plan.js";
import { RecordStore } from "../src/tuner/records/records.js";
import { tensorOf } from "../src/weights/memory.js";
import { writeSafetensors } from "../src/weights/write.js";

const folder = mkdtempSync(join(tmpdir(), "troupe-full-"));
const full = join(folder, "full");
const fixed = join(folder, "fixed");
mkdirSync(full);
mkdirSync(fixed);
const mounted =
  spawnSync("mount", ["-t", "tmpfs", "-o", "size=256k", "tmpfs", full]).status === 0 &&
  spawnSync("mount", ["-t", "tmpfs", "-o", "ro", "tmpfs", fixed]).status === 0;
const skip = mounted ? false : "nothing can be mounted here";
after(() => {
  for (const mount of [full, fixed]) spawnSync("umount", [mount]);
  rmSync(folder, { recursive: true, force: true });
});

const io = (error: unknown): boolean => {
  assert.ok(error instanceof TroupeError, String(error));
  assert.equal(error.code, "io");
  assert.ok(error.advice);
  return true;
};

const picture = { width: 256, height: 256, pixels: randomBytes(3 * 65_536) };
const tensors = { a: tensorOf("f32", [50_000], new Float32Array(50_000)) };
const target = {
  device: "cpu",
  hardware: "one",
  isa: { name: "x", vectorBytes: 16, bf16: false },
  threads: 1,
} as const;
const plan = { label: "x".repeat(300_000) } as Plan;

describe("a full disk", { skip }, () => {
  before(() => writeFileSync(join(full, "ballast"), new Uint8Array(200 * 1024)));

  it("keeps no half of a picture, a weight file or a plan, and leaves what was there", async () => {
    const old = join(full, "old.png");
    writeFileSync(old, "old");
    await assert.rejects(savePng(old, picture), io);
    await assert.rejects(writeSafetensors(join(full, "w.safetensors"), tensors), io);
    await assert.rejects(savePlan(plan, join(full, "plans", "p.json")), io);
    await assert.rejects(expectWritable(join(full, "plans", "p.json")), io);
    assert.equal(readFileSync(old, "utf8"), "old");
    assert.deepEqual(readdirSync(full, { recursive: true }).sort(), ["ballast", "old.png", "plans"]);
  });

  it("loses the record that does not fit and no other", () => {
    const store = new RecordStore(target, join(full, "records"));
    const record = (signature: string, title: string) =>
      ({ signature, title, threads: 1, measurements: [], cannot: [], versions: {} }) as const;
    store.add(record("small", ""));
    store.add(record("large", "x".repeat(200_000)));
    rmSync(join(full, "ballast"));
    store.add(record("after", ""));
    const again = new RecordStore(target, join(full, "records"));
    assert.deepEqual(["small", "large", "after"].map((name) => again.get(name, 1)?.signature), ["small", undefined, "after"]); // prettier-ignore
    assert.equal(store.get("large", 1)?.signature, "large", "this process still knows it");
  });

  it("is told when code is compiled", async (t) => {
    const compiler = await findCompiler();
    if (isCannot(compiler)) return t.skip(compiler.cannot);
    const before = process.env.TROUPE_CACHE;
    process.env.TROUPE_CACHE = join(full, "cache");
    const room = (bytes: number): string => `const char troupe_room[${bytes}] = {1}; const char *troupe_get(void) { return troupe_room; }`; // prettier-ignore
    try {
      await assert.rejects(compileC(compiler, room(2 ** 20)), io);
      assert.deepEqual(readdirSync(join(full, "cache"), { recursive: true }).filter((name) => /\.(tmp|so)$/.test(String(name))), []); // prettier-ignore
      process.env.TROUPE_CACHE = join(fixed, "cache");
      await assert.rejects(compileC(compiler, room(1)), io);
      process.env.TROUPE_CACHE = join(folder, "cache");
      const path = await compileC(compiler, room(2));
      const whole = readFileSync(path);
      for (const bytes of [0, 40, whole.length - 1]) {
        writeFileSync(path, whole.subarray(0, bytes));
        assert.equal(await compileC(compiler, room(2)), path);
        assert.equal(statSync(path).size, whole.length, `${bytes} bytes were taken for a library`);
      }
    } finally {
      if (before === undefined) delete process.env.TROUPE_CACHE;
      else process.env.TROUPE_CACHE = before;
    }
  });
});

interface Ended {
  readonly status: number | null;
  readonly err: string;
}

/** The command line; its output to a file where one is named. */
function troupe(args: readonly string[], env: NodeJS.ProcessEnv, output?: string, cwd?: string): Promise<Ended> {
  const out = output === undefined ? "ignore" : openSync(output, "w");
  const bin = join(process.cwd(), "bin/troupe.js");
  const child = spawn(process.execPath, [bin, ...args], {
    env: { ...process.env, TROUPE_DEBUG: "", TROUPE_CACHE: join(folder, "own"), TROUPE_WITHOUT: "tile,onednn,blas,libxsmm,onnxruntime", ...env },
    stdio: ["ignore", out, "pipe"],
    ...(cwd !== undefined && { cwd }),
  }); // prettier-ignore
  let err = "";
  child.stderr!.on("data", (text: Buffer) => (err += text.toString()));
  return new Promise((resolve) => {
    child.on("close", (status) => {
      if (typeof out === "number") closeSync(out);
      resolve({ status, err });
    });
  });
}

const RUN = ["run", "models/flux-shapes", "--prompt", "a red circle", "--effort", "none", "--size", "32x32"];

/** Ended as a failed write must. */
function expectIo({ status, err }: Ended, says: RegExp): void {
  assert.match(err, says);
  assert.equal(status, 7, err);
  assert.match(err, /error \(io\): .*\n {2}\S/, "it says what to do");
  assert.doesNotMatch(err, /^\s+at /m, "no stack");
}

describe("the command line", () => {
  it("says that its cache is a file", async () => {
    writeFileSync(join(folder, "file"), "");
    const ended = await troupe([...RUN, "-o", join(folder, "x.png")], { TROUPE_CACHE: join(folder, "file") });
    expectIo(ended, /cannot write compiled code to .*file/);
  });

  it("says that its cache is read-only", { skip }, async () => {
    expectIo(await troupe([...RUN, "-o", join(folder, "x.png")], { TROUPE_CACHE: join(fixed, "c") }), /cannot write compiled code to/); // prettier-ignore
  });

  it("says before tuning that plans cannot be stored", { skip }, async () => {
    const cache = join(folder, "kept");
    mkdirSync(cache);
    writeFileSync(join(cache, "plans"), "a file");
    const start = performance.now();
    expectIo(await troupe(["compile", "models/flux-shapes", "--size", "32x32"], { TROUPE_CACHE: cache }), /the plan cannot be written/); // prettier-ignore
    assert.ok(performance.now() - start < 60_000);
  });

  it("says that its output goes to a read-only or a full place", { skip }, async () => {
    expectIo(await troupe([...RUN, "-o", join(fixed, "x.png")], {}), /cannot write .*x\.png/);
    expectIo(await troupe(["demo"], {}, undefined, fixed), /cannot make the folder/);
    expectIo(await troupe(["doctor"], {}, "/dev/full"), /cannot write the output: .*ENOSPC/);
    assert.deepEqual(readdirSync(fixed), []);
  });

  it("writes no picture over a device", async () => {
    expectIo(await troupe([...RUN, "-o", "/dev/null"], {}), /cannot write \/dev\/null: it is no regular file/);
    await assert.rejects(savePng("/dev/null", picture), io);
    assert.ok(statSync("/dev/null").isCharacterDevice());
  });
});
