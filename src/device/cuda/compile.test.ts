import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { compileCuda, nvccCompiler, type CudaCompiler } from "./compile.js";

/** A compiler that counts its calls and returns the text's bytes. */
function counting(name: string): CudaCompiler & { calls: number } {
  const compiler = {
    name,
    calls: 0,
    compile: (source: string, target: string) => {
      compiler.calls++;
      return { cubin: Buffer.from(`${target}:${source}`), log: "ptxas info" };
    },
  };
  return compiler;
}

function inFolder(work: (folder: string) => void): void {
  const folder = mkdtempSync(join(tmpdir(), "troupe-compile-"));
  try {
    work(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

test("a text is compiled once for a target and compiler, and its log is kept", () =>
  inFolder((folder) => {
    const compiler = counting("one 1.0");
    const first = compileCuda("kernel", "sm_90a", compiler, folder);
    const second = compileCuda("kernel", "sm_90a", compiler, folder);
    assert.equal(compiler.calls, 1);
    assert.deepEqual([Buffer.from(second.cubin).toString(), second.log], ["sm_90a:kernel", "ptxas info"]);
    assert.deepEqual(Buffer.from(first.cubin), Buffer.from(second.cubin));
    assert.equal(readdirSync(folder).filter((name) => !/\.(cubin|log)$/.test(name)).length, 0, "no drafts stay behind");
  }));

test("another text, target or compiler version is compiled anew", () =>
  inFolder((folder) => {
    const [old, young] = [counting("one 1.0"), counting("one 1.1")];
    for (const [source, target] of [
      ["a", "sm_90a"],
      ["b", "sm_90a"],
      ["a", "sm_80"],
    ] as const)
      assert.equal(Buffer.from(compileCuda(source, target, old, folder).cubin).toString(), `${target}:${source}`);
    compileCuda("a", "sm_90a", young, folder);
    assert.deepEqual([old.calls, young.calls], [3, 1]);
  }));

const nvcc = nvccCompiler();
test(
  "a text that does not compile is an error with the compiler's words, and nothing is kept",
  { skip: nvcc ? false : "nvcc was not found" },
  () =>
    inFolder((folder) => {
      assert.throws(() => compileCuda("__global__ void k() { undeclared = 1; }", "sm_90a", nvcc!, folder), {
        name: "TroupeError",
        code: "compile",
        message: /identifier "undeclared" is undefined/,
      });
      assert.deepEqual(readdirSync(folder), []);
    }),
);
