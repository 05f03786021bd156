// Runs the compiled tests. usage: node tools/test.mjs [PART_OF_A_PATH ...]
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { run } from "node:test";
import { spec } from "node:test/reporters";

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
run({ files, concurrency: 2, timeout: 600_000 })
  .on("test:fail", () => {
    process.exitCode = 1;
  })
  .compose(new spec())
  .pipe(process.stdout);
