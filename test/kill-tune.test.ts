import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { it } from "node:test";
import { fileURLToPath } from "node:url";

it("a tune that is killed at any moment repeats nothing that was recorded", () => {
  const tool = fileURLToPath(new URL("../../tools/kill-tune.mjs", import.meta.url));
  const fixture = fileURLToPath(new URL("./tune.fixture.js", import.meta.url));
  const { status, stdout, stderr } = spawnSync(process.execPath, [tool, "3", "2.5", "11", fixture], {
    encoding: "utf8",
  });
  assert.equal(status, 0, stdout + stderr);
  assert.match(stdout, /nothing recorded was measured again/);
  assert.match(stdout, /the tune after it: status 0, \d+ regions known, 0 of them new/);
});
