// Runs the compiled tests, two processes at a time. usage: node tools/test.mjs [PART_OF_A_PATH ...]
//
// Starting Node and importing what is tested takes longer than most tests of src/, so those of one folder of src share
// a process. A file that touches `process`, its environment say, has one of its own, as have the whole-system tests of
// test/.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { run } from "node:test";
import { spec } from "node:test/reporters";
import { pathToFileURL } from "node:url";

const TOGETHER = "dist/together";

const wanted = process.argv.slice(2);
const files = ["dist/src", "dist/test"]
  .filter(existsSync)
  .flatMap((root) => readdirSync(root, { recursive: true }).map((file) => join(root, String(file))))
  .filter((file) => file.endsWith(".test.js") && (wanted.length === 0 || wanted.some((part) => file.includes(part))))
  .sort();
if (files.length === 0) {
  console.error(`no compiled test matches ${wanted.join(", ") || "dist"}; run npm run build first`);
  process.exit(2);
}

/** The file itself, or the folder of src whose process it shares. */
function processOf(file) {
  const folder = /^dist\/src\/(\w+)\//.exec(file)?.[1];
  return folder === undefined || /\bprocess\./.test(readFileSync(file, "utf8")) ? file : folder;
}

/** A module that imports all of them. */
function together(folder, members) {
  const module = join(TOGETHER, `${folder}.js`);
  writeFileSync(module, members.map((file) => `import ${JSON.stringify(pathToFileURL(file).href)};\n`).join(""));
  return module;
}

rmSync(TOGETHER, { recursive: true, force: true });
mkdirSync(TOGETHER, { recursive: true });
const byProcess = new Map();
for (const file of files) byProcess.set(processOf(file), [...(byProcess.get(processOf(file)) ?? []), file]);
const modules = [...byProcess].map(([name, members]) => (members.length === 1 ? members[0] : together(name, members)));

run({ files: modules, concurrency: 2, timeout: 600_000 })
  .on("test:fail", () => {
    process.exitCode = 1;
  })
  .compose(new spec())
  .pipe(process.stdout);
