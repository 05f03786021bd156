import assert from "node:assert/strict";
import { test } from "node:test";
import { escaped, printable } from "./printable.js";

test("what a terminal would obey is written out, everything else stays", () => {
  assert.equal(escaped("a\u001b[2J\u009b\n\u202eb"), "a\\u001b[2J\\u009b\\u000a\\u202eb");
  assert.equal(escaped("café ☃ 日本語 😀"), "café ☃ 日本語 😀");
});

test("long texts are cut between characters", () => {
  assert.equal(printable("😀".repeat(50), 3), "😀😀😀…");
  assert.equal(printable("x".repeat(1e7)).length, 81);
  assert.equal(printable("short"), "short");
});
