// Layers are data: a folder of src imports only from folders before it in layers.json, and not from those it is kept
// apart from. Types count as imports: a contract that points upward is as wrong as a call.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { test } from "node:test";

const layers = JSON.parse(readFileSync("layers.json", "utf8")) as {
  readonly order: readonly string[];
  readonly apart: Readonly<Record<string, readonly string[]>>;
};

const sources = readdirSync("src", { recursive: true })
  .map(String)
  .filter((file) => file.endsWith(".ts"));

const folderOf = (file: string): string | undefined => (file.includes("/") ? file.split("/")[0] : undefined);

test("every folder of src has its place in layers.json", () => {
  const folders = new Set(sources.map(folderOf).filter((folder) => folder !== undefined));
  assert.deepEqual([...folders].filter((folder) => !layers.order.includes(folder)), []); // prettier-ignore
});

test("no folder imports from one that comes after it", () => {
  const wrong: string[] = [];
  for (const file of sources) {
    const folder = folderOf(file);
    if (!folder || file.endsWith(".test.ts")) continue;
    const text = readFileSync(join("src", file), "utf8");
    for (const [, path] of text.matchAll(/(?:from|import\()\s*"(\.[^"]+)"/g)) {
      const target = folderOf(relative("src", join("src", dirname(file), path!)));
      if (!target || target === folder) continue;
      const upward = layers.order.indexOf(target) > layers.order.indexOf(folder);
      if (upward || layers.apart[folder]?.includes(target)) wrong.push(`${file} imports ${path}`);
    }
  }
  assert.deepEqual(wrong, []);
});

test("files stay readable: none over 800 lines, median at most 120", () => {
  const lengths = sources
    .filter((file) => !file.endsWith(".test.ts"))
    .map((file) => ({ file, lines: readFileSync(join("src", file), "utf8").split("\n").length }))
    .sort((a, b) => a.lines - b.lines);
  assert.deepEqual(lengths.filter(({ lines }) => lines > 800), []); // prettier-ignore
  const median = lengths[Math.floor(lengths.length / 2)]!.lines;
  assert.ok(median <= 120, `the median is ${median} lines`);
});

test("only core/debug.ts reads the environment", () => {
  const readers = sources.filter(
    (file) => !file.endsWith(".test.ts") && /process\.env/.test(readFileSync(join("src", file), "utf8")),
  );
  assert.deepEqual(readers, ["core/debug.ts"]);
});
