import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Regions, type Region } from "../graph/region.js";
import { Words } from "../graph/words.js";
import { sampleInputs } from "./region-inputs.js";
import { scalarEngine } from "./dense/product.js";
import { acceptedError, regionReference } from "./region-reference.js";

const whole = (g: Words, outputs: Parameters<Words["finish"]>[0]): Region => {
  const regions = new Regions(g.finish(outputs));
  return regions.region(regions.work.map((node) => node.id));
};

const tensorsOf = (region: Region, data: readonly Float64Array[]) =>
  new Map(region.inputs.map(({ value, dtype, shape }, i) => [value, { dtype, shape, data: data[i]! }]));

describe("random inputs of a region", () => {
  it("are the same for a seed, differ between seeds, and weights keep products' size", () => {
    const g = new Words("linear");
    const x = g.input("x", "f32", [64, 400]);
    const region = whole(g, { y: g.linear(x, g.weight("w", "f32", [80, 400])) });
    assert.deepEqual(sampleInputs(region, 3), sampleInputs(region, 3));
    const [a] = sampleInputs(region, 3);
    const [b] = sampleInputs(region, 4);
    assert.notDeepEqual(a, b);
    const inputs = tensorsOf(region, sampleInputs(region, 3));
    const { exact } = regionReference(region, inputs, scalarEngine);
    const { data } = exact.get(region.outputs[0]!.value)!;
    const size = Math.sqrt(data.reduce((sum, y) => sum + y * y, 0) / data.length);
    assert.ok(size > 0.7 && size < 1.4, `${size}`);
  });

  it("are valid where an op reads indices, pages and lengths, and constants are the graph's", () => {
    const g = new Words("paged");
    const cache = g.state("k", "f32", [6, 4, 1, 8]);
    const pages = g.input("pages", "i32", [2, 3]);
    const written = g.pageAppend(cache, g.input("x", "f32", [2, 3, 1, 8]), pages, g.input("lengths", "i32", [2]));
    g.becomes(cache, written);
    const rows = g.embedding(g.input("ids", "i32", [50]), g.weight("t", "f32", [7, 4]));
    const out = g.add(rows, g.constant([1, 2, 3, 4], "f32", [4]));
    const regions = new Regions(g.finish({ out }));
    for (const node of regions.work) {
      const region = regions.region([node.id]);
      sampleInputs(region, 1).forEach((data, i) => {
        const { value, kind, dtype } = region.inputs[i]!;
        if (value === pages.id) {
          assert.equal(new Set(data).size, 6);
          assert.ok(data.every((page) => page >= 0 && page < 6));
        } else if (dtype === "i32" && node.op === "page_append") assert.ok(data.every((n) => n >= 0 && n + 3 <= 12));
        else if (dtype === "i32") assert.ok(data.every((id) => id >= 0 && id < 7 && Number.isInteger(id)));
        if (kind === "constant") assert.deepEqual([...data], [1, 2, 3, 4]);
      });
    }
  });
});

describe("what is accepted", () => {
  it("is an op's tolerance for one op, and follows plain rounding for several", () => {
    const g = new Words("chain");
    const x = g.input("x", "bf16", [8, 32]);
    const one = whole(g, { y: g.silu(x) });
    const h = new Words("chain");
    let y = h.input("x", "bf16", [8, 32]);
    for (let i = 0; i < 6; i++) y = h.add(h.silu(y), 1);
    const many = whole(h, { y });
    const inputs = tensorsOf(many, sampleInputs(many, 1));
    const { plainError } = regionReference(many, inputs, scalarEngine);
    assert.ok(plainError! > 1e-3 && plainError! < 2e-2, `${plainError}`);
    const single = acceptedError(one, "f32", 0);
    assert.ok(single > 3e-3 && single < 5e-3);
    assert.equal(acceptedError(many, "f32", plainError), Math.max(single, 3 * plainError!));
  });
});
