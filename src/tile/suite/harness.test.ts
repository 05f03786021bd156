// The suite's own check must fail: on a wrong result, a result left unwritten, a result that depends on the blocks.
import assert from "node:assert/strict";
import { test } from "node:test";
import { inout, input, kernel, output } from "../index.js";
import { check, fill, get, random, zeros } from "./harness.js";

const x = random("f32", [6], 1);
const io = { x: input("f32", "N"), y: output("f32", "N") };
const fails = (what: string, kernel: Parameters<typeof check>[0]["kernel"], message: RegExp): void => {
  test(what, () => {
    const expected = { y: fill([6], (n) => get(x, n)) };
    assert.throws(() => check({ kernel, tensors: { x, y: zeros(6) }, blocks: [{ N: 4 }], expected }), message);
  });
};

fails("a result a thousandth off is caught", kernel("off", io, (t, { x: a, y }) => {
  const n = t.program("N");
  t.store(y, [n], t.load(a, n).mul(1.001));
}), /off y, blocks \{\}: error 0\.00/); // prettier-ignore

fails("an element never stored is caught", kernel("holes", io, (t, { x: a, y }) => {
  const n = t.program("N");
  t.store(y, [t.window("N", n, { offset: 1 })], t.load(a, t.window("N", n, { offset: 1 })));
}), /holes y, blocks \{\}: error Infinity/); // prettier-ignore

fails("a result that depends on the blocks is caught", kernel("blocky", io, (t, { x: a, y }) => {
  const n = t.program("N");
  t.store(y, [n], t.load(a, n).add(t.start(n).to("f32")));
}), /blocky y, blocks \{"N":4\}: error/); // prettier-ignore

fails("a result that depends on the order of programs is caught", kernel("order", { x: input("f32", "N"), y: inout("f32", "N") }, (t, { x: a, y }) => {
  const n = t.program("N");
  t.store(y, [n], t.load(a, n).add(t.load(y, t.window("N", n, { offset: -1 })).mul(0)));
}), /what another program|another store lands/); // prettier-ignore
