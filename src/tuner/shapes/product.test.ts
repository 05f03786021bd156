import assert from "node:assert/strict";
import { test } from "node:test";
import { Regions } from "../../graph/region.js";
import { materialize } from "../../graph/storage.js";
import { Words } from "../../graph/words.js";
import { productOf, regionOf } from "./product.js";

test("a linear layer and what is pointwise behind it are a product; a region of more is none", () => {
  const g = new Words("two");
  const x = g.input("x", "f32", [2, 3, 16]);
  const h = g.silu(g.linear(x, g.weight("w", "f32", [8, 16])));
  const y = g.linear(h, g.weight("v", "f32", [4, 8]));
  const regions = new Regions(materialize(g.finish({ y })));
  const [first, act, second] = regions.work.map(({ id }) => id) as [number, number, number];
  const product = { dtype: "f32", rows: 6, columns: 8, terms: 16 } as const;
  assert.deepEqual(productOf(regions.region([first])), product);
  assert.deepEqual(productOf(regions.region([first, act])), product);
  assert.equal(productOf(regions.region([first, act, second])), undefined);
  assert.equal(productOf(regions.region([act])), undefined);
  assert.deepEqual(productOf(regionOf(product)), product);
});
