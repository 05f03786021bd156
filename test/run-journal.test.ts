import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { findCompiler } from "../src/device/cpu/compile.js";
import { isCannot } from "../src/device/native/found.js";

const compiler = await findCompiler();
const cache = mkdtempSync(join(tmpdir(), "troupe-died-"));
after(() => rmSync(cache, { recursive: true, force: true }));

function run(falls: "yes" | "no"): { readonly signal: string | null; readonly said: string } {
  const script = fileURLToPath(new URL("./run.fixture.js", import.meta.url));
  const env = { ...process.env, TROUPE_CACHE: cache, FALL: falls };
  const { signal, stdout } = spawnSync(process.execPath, [script], { env, encoding: "utf8" });
  return { signal, said: stdout };
}

const left = (): readonly string[] => readdirSync(join(cache, "records")).filter((name) => name.endsWith(".run"));

describe("a plan that its process died of", { skip: isCannot(compiler) ? compiler.cannot : false }, () => {
  it("leaves nothing when it ends well, and names the step when it does not", () => {
    const first = run("no");
    assert.match(first.said, /rules: fall fall\nran/);
    assert.deepEqual(left(), []);
    const second = run("yes");
    assert.equal(second.signal, "SIGSEGV");
    assert.equal(left().length, 1);
  });

  it("is made without the culprit in the next process, which says so, and in those after it", () => {
    const third = run("yes");
    assert.match(
      third.said,
      /the last run ended with signal 11 in fall float64 of small; from now on plans go without it/,
    );
    // Both ops were by the same provider; only the first one's candidate was seen to do it.
    assert.match(third.said, /rules: reference fall/);
    assert.equal(third.signal, "SIGSEGV");
    const fourth = run("yes");
    assert.match(fourth.said, /rules: reference reference\nran/);
    assert.deepEqual(left(), []);
    const fifth = run("yes");
    assert.doesNotMatch(fifth.said, /the last run/);
    assert.match(fifth.said, /rules: reference reference\nran/);
  });
});
