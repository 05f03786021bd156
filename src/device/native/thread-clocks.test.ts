import assert from "node:assert/strict";
import { it } from "node:test";
import { isCannot } from "./found.js";
import { ThreadClocks } from "./thread-clocks.js";

const clocks = ThreadClocks.open();

it("the clock of a thread runs while it works", { skip: isCannot(clocks) ? clocks.cannot : false }, () => {
  const found = clocks as ThreadClocks;
  const before = found.read().get(process.pid)!;
  for (const end = process.cpuUsage().user + 30_000; process.cpuUsage().user < end;);
  const ran = found.read().get(process.pid)! - before;
  assert.ok(ran > 15_000 && ran < 10_000_000, `${ran} us`);
  assert.notEqual(found.name(process.pid), "ended");
  assert.equal(found.name(2 ** 30), "ended");
});
