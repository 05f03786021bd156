import assert from "node:assert/strict";
import { test } from "node:test";
import { disturbed, type Meeting } from "./disturbed.js";

/** A meeting in which the champion took `mine` microseconds and the rival `theirs`, give or take a hundredth. */
function meeting(champion: string, mine: number, rival: string, theirs: number): Meeting<string> {
  const median = theirs / mine;
  const interval = { median, low: median * 0.99, high: median * 1.01 };
  const result = { us: theirs, champion: interval, pairs: 50, difference: 0 };
  return { champion, rival, loser: theirs < mine ? champion : rival, result };
}

test("close meetings in which a plan took longer than elsewhere are named, in either order", () => {
  const quiet = meeting("a", 600, "plain", 615);
  const slow = meeting("a", 840, "b", 756);
  assert.deepEqual(disturbed([quiet, slow]), [slow]);
  assert.deepEqual(disturbed([slow, quiet]), [slow]);
});

test("what differs as quiet meetings do, and what no disturbance turns, stands", () => {
  const meetings = [meeting("a", 600, "plain", 615), meeting("a", 620, "b", 640), meeting("a", 700, "c", 1100)];
  assert.deepEqual(disturbed(meetings), []);
});

test("a plan that took the place is judged by all its meetings, too", () => {
  const lost = meeting("a", 600, "b", 590);
  const later = meeting("b", 500, "c", 550);
  assert.deepEqual(disturbed([lost, later]), [lost]);
});
