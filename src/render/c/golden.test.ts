// The C of two kernels, word for word: a refactoring leaves it as it is, a change of it shows in review.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import { lowerToThreads } from "../../lower/cpu/lower.js";
import { dense, panelLayout } from "../../lower/layout.js";
import type { CpuTarget } from "../../lower/schedule.js";
import { trace } from "../../tile/index.js";
import { rmsnorm } from "../../tile/suite/basics.js";
import { matmul } from "../../tile/suite/matmul.js";
import { renderC } from "./program.js";

const golden = (name: string): string =>
  readFileSync(new URL(`../../../../src/render/c/golden/${name}.c`, import.meta.url), "utf8");
const target = (threads: number): CpuTarget => ({ vectorBytes: 64, bf16dot: true, threads });

test("rmsnorm in bf16 reads its rows twice and needs one number of scratch a row", () => {
  const layouts = { x: dense([6, 40]), w: dense([40]), y: dense([6, 40]) };
  const program = lowerToThreads(trace(rmsnorm("bf16")), { sizes: { T: 6, C: 40 }, layouts }, { blocks: { T: 3 } }, target(2)); // prettier-ignore
  assert.equal(renderC(program, "rmsnorm").text, golden("rmsnorm"));
});

test("matmul in bf16 is micro-kernels of pairs, whole and ragged, and one store", () => {
  const b = panelLayout([40, 64], { column: 0, step: 1, width: 32, pairs: true }).layout;
  const program = lowerToThreads(
    trace(matmul("bf16")),
    { sizes: { M: 5, N: 40, K: 64 }, layouts: { a: dense([5, 64]), b, c: dense([5, 40]) } },
    { blocks: { M: 5, N: 64, K: 64 }, tile: { rows: 4, vectors: 2 } },
    target(1),
  );
  assert.equal(renderC(program, "matmul").text, golden("matmul"));
});
