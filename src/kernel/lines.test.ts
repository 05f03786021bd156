// How long the texts of the two kernels are that FLUX.1 spends its time in: one text each for the CPU and for CUDA.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";

const MOST_LINES = 60;

/** Lines of a top-level function or constant, comments and blank lines left out. */
function linesOf(file: string, name: string): number {
  const lines = readFileSync(file, "utf8").split("\n");
  const first = lines.findIndex((line) => new RegExp(`^export (function|const) ${name}\\b`).test(line));
  assert.ok(first >= 0, `${file} has no ${name}`);
  const more = lines.slice(first + 1);
  const end = more.findIndex((line) => /^(\}|\);)/.test(line) || /^(export |\/\*\*|function |const )/.test(line));
  return [lines[first]!, ...(end < 0 ? more : more.slice(0, end + 1))].filter((line) => line.trim() !== "" && !/^\s*(\/\/|\*|\/\*)/.test(line)).length; // prettier-ignore
}

test("matmul with its epilogues and attention are said in 60 lines each", () => {
  for (const [file, name] of [
    ["src/tile/suite/matmul.ts", "linear"],
    ["src/tile/suite/attention.ts", "attention"],
    ["src/kernel/product.ts", "productForm"],
    ["src/kernel/attention-heads.ts", "attentionHeadsForm"],
  ] as const) {
    const lines = linesOf(file, name);
    assert.ok(lines > 10 && lines <= MOST_LINES, `${name} takes ${lines} lines`);
  }
});
