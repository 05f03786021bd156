// The tile types' compile cost has a budget: what an attention kernel adds to a type check.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { test } from "node:test";

const COPIES = 30;
/** Type instantiations that a copy of suite/attention.ts may cost, the library's own share included; it costs 740. */
const BUDGET = 900;

const root = fileURLToPath(new URL("../../../", import.meta.url));
const text = readFileSync(join(root, "src/tile/suite/attention.ts"), "utf8")
  .replace("../index.js", join(root, "dist/src/tile/index.js"))
  .replace("./matmul.js", join(root, "dist/src/tile/suite/matmul.js"));

/** Type-checks a project of that many copies in a folder; gives tsc's count of instantiations. */
function instantiations(folder: string, copies: number): number {
  for (let i = 0; i < copies; i++) writeFileSync(join(folder, `kernel${i}.ts`), text);
  const options = { strict: true, noEmit: true, skipLibCheck: true, target: "es2022", module: "nodenext", types: [] };
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions: options, include: ["*.ts"] }));
  writeFileSync(join(folder, "package.json"), JSON.stringify({ type: "module" }));
  const tsc = createRequire(pathToFileURL(join(root, "package.json"))).resolve("typescript/bin/tsc");
  const out = execFileSync(process.execPath, [tsc, "-p", folder, "--extendedDiagnostics"], { encoding: "utf8" });
  return Number(/^Instantiations:\s+(\d+)/m.exec(out)?.[1] ?? assert.fail(out));
}

test(`an attention kernel costs at most ${BUDGET} type instantiations`, (t) => {
  const folder = mkdtempSync(join(tmpdir(), "troupe-types-"));
  try {
    const each = Math.round(instantiations(folder, COPIES) / COPIES);
    t.diagnostic(`${each} instantiations a kernel`);
    assert.ok(each <= BUDGET, `${each} instantiations a kernel`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
