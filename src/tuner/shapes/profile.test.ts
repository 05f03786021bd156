import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { cpuTarget } from "../../device/cpu/target.js";
import { emptyProfile, missingIn, profilePath, readProfile, writeProfile, type Profile } from "./profile.js";

const folder = mkdtempSync(join(tmpdir(), "troupe-profile-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const target = cpuTarget(2);
const path = profilePath(target, "f32", folder);

const family = (provider: string, version: string): Profile["families"][number] => ({
  provider,
  version,
  family: "session",
  samples: [{ rows: 1, columns: 8, terms: 8, us: 2.5 }],
});
const profile: Profile = {
  ...emptyProfile(2, "f32"),
  versions: { a: "1", b: "1" },
  families: [family("a", "1"), family("b", "1")],
};

test("a profile is read as it was written, but for providers that have changed", () => {
  writeProfile(path, profile);
  assert.deepEqual(readdirSync(folder), [path.slice(folder.length + 1)]);
  assert.deepEqual(readProfile(path, target, "f32", { a: "1", b: "1" }), profile);
  const changed = readProfile(path, target, "f32", { a: "1", b: "2", c: "1" });
  assert.deepEqual(changed.families, [family("a", "1")]);
  assert.deepEqual(missingIn(changed, { a: "1", b: "2", c: "1" }), ["b", "c"]);
});

test("another number of threads and another dtype have files of their own", () => {
  const others = [profilePath(cpuTarget(1), "f32", folder), profilePath(target, "bf16", folder), path];
  assert.equal(new Set(others).size, 3);
});

test("what cannot be read counts as nothing", () => {
  const text = readFileSync(path, "utf8");
  for (const broken of ["", text.slice(0, -20), text.replace('"us":2.5', '"us":-1'), text.replace('"format":1', '"format":9')]) {
    writeFileSync(path, broken);
    assert.deepEqual(readProfile(path, target, "f32", { a: "1" }), emptyProfile(2, "f32"));
  }
}); // prettier-ignore

test("a folder that cannot be written keeps nothing and says nothing", () => {
  const blocked = join(folder, "file");
  writeFileSync(blocked, "");
  writeProfile(join(blocked, "x.json"), profile);
  assert.equal(readFileSync(blocked, "utf8"), "");
});
