// README's program, word for word: checked and compiled as a user's TypeScript would be, against the package by its own
// name, and run in a process of its own. And README's links lead somewhere.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, describe, it } from "node:test";
import { promisify } from "node:util";
import ts from "typescript";
import { ownCache } from "../src/core/cache.fixture.js";
import { decodePng } from "../src/pipeline/image/png.js";

const readme = await readFile("README.md", "utf8");
const [, program = ""] = /```ts\n([^]*?)```/.exec(readme) ?? [];

// A file finds the package by its own name only from inside it.
const inside = resolve("dist/readme");
const outside = await mkdtemp(join(tmpdir(), "troupe-readme-"));
after(async () => {
  await rm(inside, { recursive: true, force: true });
  await rm(outside, { recursive: true, force: true });
});

describe("README", () => {
  it("has a program of five lines that type-checks, runs, and draws the red circle", { timeout: 300_000 }, async () => {
    assert.equal(program.trim().split("\n").length, 5);
    await mkdir(inside, { recursive: true });
    const file = join(inside, "program.mts");
    await writeFile(file, program);
    compile(file);
    await symlink(resolve("models"), join(outside, "models"));
    const env = { ...process.env, TROUPE_CACHE: ownCache(join(outside, "cache")) };
    await promisify(execFile)(process.execPath, [join(inside, "program.mjs")], { cwd: outside, env });
    const { width, height, pixels } = decodePng(await readFile(join(outside, "circle.png")));
    assert.deepEqual([width, height], [256, 256]);
    const at = (x: number, y: number): readonly number[] => [...pixels.subarray(3 * (y * width + x)).subarray(0, 3)];
    const [red, green, blue] = at(128, 128) as [number, number, number];
    assert.ok(red > 150 && green < 110 && blue < 110, `the centre is ${at(128, 128).join()}`);
    assert.ok(
      at(8, 8).every((channel) => channel > 200),
      `the corner is ${at(8, 8).join()}`,
    );
  });

  it("links to files that are there", () => {
    const links = [...readme.matchAll(/\]\(([^)#]+)\)/g)].map(([, target]) => target!);
    assert.ok(links.length >= 6);
    assert.deepEqual(
      links.filter((target) => !existsSync(target)),
      [],
    );
  });
});

function compile(file: string): void {
  const options: ts.CompilerOptions = {
    strict: true,
    target: ts.ScriptTarget.ES2022,
    lib: ["lib.es2023.d.ts", "lib.esnext.disposable.d.ts"],
    module: ts.ModuleKind.NodeNext,
    types: ["node"],
    skipLibCheck: true,
  };
  const made = ts.createProgram([file], options);
  const wrong = ts
    .getPreEmitDiagnostics(made)
    .map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, "\n"));
  assert.deepEqual(wrong, []);
  made.emit();
}
