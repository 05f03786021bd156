// The docs' promises: every TypeScript block is type-checked as a user's file would be, against the package by its own
// name, and run; what a page says it prints is what it prints; shell blocks run; tables agree with the code; links lead
// somewhere.
//
// In a page: a block whose first line is `// name.mts` is that file, and other blocks of the page may import it. A
// `text output` block after a block is all that it prints. A block marked `no-run` is for the eye, or needs a model.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { after, test } from "node:test";
import { promisify } from "node:util";
import ts from "typescript";
import { ownCache } from "../src/core/cache.fixture.js";
import { EXIT } from "../src/core/error.js";
import { findCompiler } from "../src/device/cpu/compile.js";
import { isCannot } from "../src/provider/provider.js";

interface Block {
  readonly language: string;
  readonly marks: readonly string[];
  readonly text: string;
  readonly file: string;
}

const root = resolve(".");
const pages = readdirSync("docs").filter((file) => file.endsWith(".md"));
const textOf = (page: string): string => readFileSync(join("docs", page), "utf8");

function blocksOf(page: string): readonly Block[] {
  const fences = [...textOf(page).matchAll(/^```(\S+)([^\n]*)\n([^]*?)^```$/gm)];
  return fences.map(([, language, marks, text], i) => ({
    language: language!,
    marks: marks!.trim().split(/\s+/).filter(Boolean),
    text: text!,
    file: /^\/\/ (\S+\.mts)\n/.exec(text!)?.[1] ?? `block-${i}.mts`,
  }));
}

// A file finds the package by its own name only from inside it.
const inside = resolve("dist/docs");
const outside = await mkdtemp(join(tmpdir(), "troupe-docs-"));
after(async () => {
  await rm(inside, { recursive: true, force: true });
  await rm(outside, { recursive: true, force: true });
  for (const end of ["mts", "mjs"]) await rm(`mine/first.${end}`, { force: true });
});
const env = { ...process.env, TROUPE_CACHE: ownCache(join(outside, "cache")), TROUPE_DEBUG: "", NO_COLOR: "1" };
const skip = isCannot(await findCompiler()) ? "the programs of the docs want a C compiler" : false;

const programs = pages.flatMap((page) =>
  blocksOf(page)
    .filter(({ language, marks }) => language === "ts" && !marks.includes("no-run"))
    .map(({ file, text }) => ({ path: join(inside, page.replace(/\.md$/, ""), file), text })),
);

test("every TypeScript block of the docs type-checks in strict mode", async () => {
  await rm(inside, { recursive: true, force: true });
  for (const { path, text } of programs) {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, text);
  }
  const made = ts.createProgram(
    programs.map(({ path }) => path),
    {
      strict: true,
      target: ts.ScriptTarget.ES2022,
      lib: ["lib.es2023.d.ts", "lib.esnext.disposable.d.ts"],
      module: ts.ModuleKind.NodeNext,
      types: ["node"],
      skipLibCheck: true,
    },
  );
  const wrong = ts.getPreEmitDiagnostics(made).map(({ file, messageText }) => {
    const what = ts.flattenDiagnosticMessageText(messageText, "\n");
    return `${file?.fileName.slice(inside.length + 1) ?? ""}: ${what}`;
  });
  assert.ok(programs.length >= 8);
  assert.deepEqual(wrong, []);
  made.emit();
});

for (const page of pages) {
  const blocks = blocksOf(page);
  if (!blocks.some(({ language }) => language === "ts" || language === "sh")) continue;
  test(`what ${page} shows runs, and prints what it says`, { timeout: 300_000, skip }, async () => {
    for (const [i, block] of blocks.entries()) {
      if (block.marks.includes("no-run")) continue;
      const printed = await run(page, block);
      const next = blocks[i + 1];
      if (printed !== undefined && next?.language === "text" && next.marks.includes("output"))
        assert.equal(printed.trimEnd(), next.text.trimEnd(), `${page}: what ${block.file} prints`);
    }
  });
}

/** What a block prints to standard output; undefined where it is nothing that runs. */
async function run(page: string, { language, text, file }: Block): Promise<string | undefined> {
  if (language === "ts") {
    const compiled = join(inside, page.replace(/\.md$/, ""), file.replace(/\.mts$/, ".mjs"));
    return (await promisify(execFile)(process.execPath, [compiled], { cwd: root, env })).stdout;
  }
  if (language !== "sh") return undefined;
  const tools = `troupe) set -- bin/troupe.js "\${@:2}";; tsc) set -- node_modules/typescript/bin/tsc "\${@:2}";;`;
  const bin = `npx() { case "$1" in ${tools} esac; "${process.execPath}" "$@"; }`;
  return (await promisify(execFile)("bash", ["-ec", `${bin}\n${text}`], { cwd: root, env })).stdout;
}

const rowsOf = (page: string): readonly (readonly string[])[] =>
  textOf(page)
    .split("\n")
    .filter((line) => line.startsWith("| "))
    .map((line) => line.slice(2).split(" | ").map((cell) => cell.replace(/ ?\|$/, "").replaceAll("`", "").trim())); // prettier-ignore

test("errors.md has every code with its exit status", () => {
  const told = rowsOf("errors.md").filter(([code]) => code! in EXIT);
  assert.deepEqual(Object.fromEntries(told.map(([code, status]) => [code, Number(status)])), EXIT);
});

test("environment.md has every variable that is read and every step of the debug ladder", () => {
  const source = readFileSync("src/core/debug.ts", "utf8");
  const read = new Set([...source.matchAll(/env\.([A-Z_]+)/g)].map(([, name]) => name!));
  const told = new Set(rowsOf("environment.md").flatMap(([first]) => first!.split(/, /)));
  assert.deepEqual([...read].filter((name) => !told.has(name)), []); // prettier-ignore
  for (const level of ["1", "2", "3", "4", "5", "6"]) assert.ok(told.has(level), `level ${level}`);
});

test("links of the docs lead somewhere, and the site lists every page", () => {
  const dead = pages.flatMap((page) =>
    [...textOf(page).matchAll(/\]\((?!https?:)([^)#]*)(?:#[^)]*)?\)/g)]
      .map(([, target]) => target!)
      .filter((target) => target !== "" && !existsSync(resolve("docs", target)))
      .map((target) => `${page}: ${target}`),
  );
  assert.deepEqual(dead, []);
  const others = pages.filter((page) => page !== "index.md").map((page) => `/${page.replace(/\.md$/, "")}`);
  const config = readFileSync("docs/.vitepress/config.mts", "utf8");
  assert.deepEqual(others.filter((link) => !config.includes(`"${link}"`)), []); // prettier-ignore
  const overview = readFileSync("docs/public/llms.txt", "utf8");
  assert.deepEqual(others.filter((link) => !overview.includes(`(${link})`)), []); // prettier-ignore
});
