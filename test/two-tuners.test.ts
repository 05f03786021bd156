// Two processes that tune the same model into one cache at the same time: both end well, and what they leave is whole.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { promisify } from "node:util";

const folder = await mkdtemp(join(tmpdir(), "troupe-two-"));
after(() => rm(folder, { recursive: true, force: true }));
const cache = join(folder, "cache");

/** Our own kernels are left out: compiling them is the longest part. */
const env = { ...process.env, TROUPE_CACHE: cache, TROUPE_DEBUG: "", TROUPE_WITHOUT: "tile,blas,libxsmm,onednn" };
const troupe = (...args: readonly string[]): Promise<{ stdout: string }> =>
  promisify(execFile)(process.execPath, ["bin/troupe.js", ...args], { env, maxBuffer: 2 ** 26 });

test("two processes that tune at once leave whole plans and records", async () => {
  const small = ["models/flux-shapes", "--size", "32x32", "--json"];
  const ended = await Promise.all([0, 1].map(() => troupe("compile", ...small, "--budget", "1s")));
  for (const { stdout } of ended) assert.equal(stdout.match(/"kind":"winners"/g)?.length, 5);
  const files = (await readdir(cache, { recursive: true })).map(String);
  assert.deepEqual(files.filter((file) => file.endsWith(".tmp")), []); // prettier-ignore
  const plans = files.filter((file) => file.startsWith("plans/") && file.endsWith(".json"));
  assert.equal(plans.length, 5);
  for (const plan of plans) JSON.parse(await readFile(join(cache, plan), "utf8"));
  for (const file of files.filter((name) => name.endsWith(".jsonl")))
    for (const line of (await readFile(join(cache, file), "utf8")).trimEnd().split("\n")) JSON.parse(line);
});
