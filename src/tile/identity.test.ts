// The key of a program: what it computes and how it is bound, nothing else.
import assert from "node:assert/strict";
import { test } from "node:test";
import { identityOf, input, kernel, output, trace, type Op, type TileProgram } from "./index.js";

const make = (name: string, factor: number, a = "x") =>
  kernel(name, { [a]: input("f32", "N"), y: output("f32", "N") }, (t, p) => {
    const n = t.program("N");
    t.store(p.y as never, [n], t.load(p[a] as never, n as never) as never);
    t.store(p.y as never, [n], t.full("f32", factor, "N") as never);
  });

test("names and lines of the text do not count; ops, constants and parameters do", () => {
  const key = identityOf(trace(make("one", 2)));
  assert.match(key, /^[0-9a-f]{16}$/);
  assert.equal(identityOf(trace(make("two", 2))), key);
  const turned = JSON.parse(JSON.stringify(trace(make("one", 2)))) as TileProgram;
  const reordered = {
    ...turned,
    body: turned.body.map((op) => Object.fromEntries(Object.entries(op).reverse()) as unknown as Op),
  };
  assert.equal(identityOf(reordered), key);
  assert.notEqual(identityOf(trace(make("one", 3))), key);
  assert.notEqual(identityOf(trace(make("one", 2, "z"))), key);
});
