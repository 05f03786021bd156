// Bytes that a session's inner values take, by hand.
import assert from "node:assert/strict";
import { it } from "node:test";
import { Regions } from "../../graph/region.js";
import { Words } from "../../graph/words.js";
import { mostLiveBytes } from "./live.js";

it("counts inner values from their node to their last reader, views as what they show", () => {
  const g = new Words("live");
  const x = g.input("x", "f32", [2, 8]);
  const wide = g.linear(x, g.weight("w", "f32", [32, 8])); // 2 × 32
  const [gate, up] = g.split(wide, -1, [16, 16]); // views
  const gated = g.mul(g.silu(gate!), up!); // 2 × 16 each
  const graph = g.finish({ y: g.linear(gated, g.weight("v", "f32", [8, 16])) });
  const regions = new Regions(graph);
  const whole = regions.region(regions.work.map(({ id }) => id));
  // When the product is made, `wide`, silu(gate) and the product itself are alive.
  assert.equal(mostLiveBytes(whole), 4 * (64 + 32 + 32));
  const first = regions.region([regions.work[0]!.id]);
  assert.equal(mostLiveBytes(first), 0, "what leaves the region is the plan's");
});
