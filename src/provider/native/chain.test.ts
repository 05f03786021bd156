import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Value } from "../../graph/node.js";
import type { Words } from "../../graph/words.js";
import { isCannot } from "../provider.js";
import { chainOf } from "./chain.js";
import { graphOf, regionOf } from "./tryout.fixture.js";

const reasonOf = (build: (g: Words, x: Value, w: Value) => Value | Record<string, Value>): string => {
  const graph = graphOf((g) => build(g, g.input("x", "f32", [2, 3, 8]), g.weight("w", "f32", [8, 8])));
  const chain = chainOf(regionOf(graph));
  return isCannot(chain) ? chain.cannot : chain.links.map(({ node, at }) => `${node.op}@${at}`).join(" ");
};

describe("chains", () => {
  it("are pointwise ops one after another, the running value on either side, rows reshaped in between", () => {
    assert.equal(
      reasonOf((g, x, w) => g.add(x, g.silu(g.linear(x, w)))),
      "silu@0 add@1",
    );
    assert.equal(
      reasonOf((g, x, w) => g.mul(g.reshape(g.linear(x, w), [6, 8]), 2)),
      "scale@0",
    );
  });

  it("end where a value is needed elsewhere, twice, wider, or by what is not pointwise", () => {
    assert.match(
      reasonOf((g, x, w) => g.softmax(g.linear(x, w))),
      /softmax is not pointwise/,
    );
    const twice = (g: Words, x: Value, w: Value): Value => {
      const h = g.linear(x, w);
      return g.mul(h, h);
    };
    assert.match(reasonOf(twice), /exactly once/);
    const both = (g: Words, x: Value, w: Value): Record<string, Value> => {
      const h = g.linear(x, w);
      return { h, y: g.tanh(h) };
    };
    assert.match(reasonOf(both), /needed outside/);
    const wider = (g: Words, x: Value, w: Value): Value => g.add(g.linear(x, w), g.input("b", "f32", [4, 1, 1, 8]));
    assert.match(reasonOf(wider), /larger by broadcasting/);
    const turned = (g: Words, x: Value, w: Value): Value => g.tanh(g.reshape(g.linear(x, w), [6, 2, 4]));
    assert.match(reasonOf(turned), /exactly once/);
  });
});
