// What npm would publish: the exports lead to files that import, the command starts, and no test goes along.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync, statSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { describe, it } from "node:test";
import { promisify } from "node:util";

const run = promisify(execFile);
const manifest = JSON.parse(await readFile("package.json", "utf8")) as {
  readonly name: string;
  readonly bin: Readonly<Record<string, string>>;
  readonly exports: Readonly<Record<string, string | { readonly types: string; readonly default: string }>>;
  readonly scripts: Readonly<Record<string, string>>;
};

async function packed(): Promise<readonly string[]> {
  const { stdout } = await run("npm", ["pack", "--dry-run", "--json", "--ignore-scripts"], { maxBuffer: 2 ** 26 });
  const [pack] = JSON.parse(stdout) as { readonly files: readonly { readonly path: string }[] }[];
  return pack!.files.map(({ path }) => path);
}

describe("the package", () => {
  it("holds what its exports and commands name, and neither tests nor models", async () => {
    const files = await packed();
    const named = [
      ...Object.values(manifest.exports).flatMap((target) => (typeof target === "string" ? [target] : [target.types, target.default])), // prettier-ignore
      ...Object.values(manifest.bin),
      "README.md", "LICENSE", "package.json",
    ]; // prettier-ignore
    assert.deepEqual(
      named.map((path) => path.replace(/^\.\//, "")).filter((path) => !files.includes(path)),
      [],
    );
    assert.deepEqual(
      files.filter((path) => /\.test\.|\.fixture\.|^models|^test|^src|^tools|\.map$/.test(path)),
      [],
    );
  });

  it("is imported by its own name, every subpath", async () => {
    const names = Object.keys(manifest.exports).filter((path) => !path.endsWith(".json"));
    for (const path of names) {
      const module = (await import(path.replace(/^\./, manifest.name))) as object;
      assert.ok(Object.keys(module).length > 0, path);
    }
    assert.deepEqual(names, [".", "./kernel", "./provider"]);
  });

  it("has commands that can be executed, and no script that runs when users install it", () => {
    for (const path of Object.values(manifest.bin)) {
      assert.ok(existsSync(path) && (statSync(path).mode & 0o111) !== 0, path);
    }
    assert.deepEqual(
      Object.keys(manifest.scripts).filter((name) => /^(pre|post)?install$/.test(name)),
      [],
    );
  });
});
