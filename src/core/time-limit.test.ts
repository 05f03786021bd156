import assert from "node:assert/strict";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { test } from "node:test";
import { setTimeout as after } from "node:timers/promises";
import { timeLimit } from "./time-limit.js";

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

test("a time limit comes although nobody holds its parts", async () => {
  const { signal } = timeLimit(20, new AbortController().signal);
  for (let i = 0; i < 200 && !signal.aborted; i++) {
    collect();
    await after(5);
  }
  assert.equal((signal.reason as Error).name, "TimeoutError");
});

test("a time limit follows the other signal, and nothing once it is let go", () => {
  const [one, other] = [new AbortController(), new AbortController()];
  const followed = timeLimit(60_000, one.signal);
  one.abort("enough");
  assert.equal(followed.signal.reason, "enough");
  assert.equal(timeLimit(60_000, one.signal).signal.aborted, true);
  const released = timeLimit(60_000, other.signal);
  released[Symbol.dispose]();
  other.abort();
  assert.equal(released.signal.aborted, false);
});
