import assert from "node:assert/strict";
import test from "node:test";
import type { Value } from "../../graph/node.js";
import { Regions } from "../../graph/region.js";
import { Words } from "../../graph/words.js";
import { isCannot } from "../provider.js";
import { formOf, type Form } from "./form.js";

function form(build: (g: Words) => Value): Form | { readonly cannot: string } {
  const g = new Words("form");
  const graph = g.finish({ y: build(g) });
  const regions = new Regions(graph);
  return formOf(regions.region(regions.work.map((node) => node.id)));
}

test("a row-major linear layer is the transposed column-major product, weight first", () => {
  const made = form((g) => g.linear(g.input("x", "bf16", [2, 8, 24]), g.weight("w", "bf16", [40, 24]), g.weight("b", "bf16", [40]))); // prettier-ignore
  assert.ok(!isCannot(made), JSON.stringify(made));
  assert.deepEqual([made.m, made.n, made.batch, made.left, made.right, made.bias], [40, 16, 1, 1, 0, 2]);
  assert.deepEqual([made.a.rows, made.a.columns, made.a.ld, made.a.transposed], [24, 40, 24, false]);
  assert.deepEqual([made.b.rows, made.b.columns, made.b.ld], [24, 16, 24]);
  assert.deepEqual([made.d.rows, made.d.columns, made.d.ld], [40, 16, 40]);
});

test("GELU and a residual are taken along, other ops and other shapes are not", () => {
  const x = (g: Words): Value => g.linear(g.input("x", "f32", [9, 16]), g.weight("w", "f32", [8, 16]), undefined);
  const gelu = form((g) => g.geluTanh(x(g)));
  assert.ok(!isCannot(gelu) && gelu.gelu);
  const sum = form((g) => g.add(x(g), g.input("r", "f32", [9, 8])));
  assert.ok(!isCannot(sum) && sum.residual?.input !== undefined);
  const silu = form((g) => g.silu(x(g)));
  assert.ok(isCannot(silu) && /silu/.test(silu.cannot));
  const row = form((g) => g.add(x(g), g.input("r", "f32", [8])));
  assert.ok(isCannot(row) && /another shape/.test(row.cannot));
});

test("rows that lie apart keep their stride", () => {
  const cut = form((g) => g.linear(g.slice(g.input("x", "f32", [9, 30]), 1, 0, 16), g.weight("w", "f32", [8, 16]), undefined)); // prettier-ignore
  assert.ok(!isCannot(cut), JSON.stringify(cut));
  assert.equal(cut.b.ld, 30);
});

test("half precision whose bias would be added after a rounding is left to others", () => {
  const odd = form((g) => g.linear(g.input("x", "bf16", [7, 13]), g.weight("w", "bf16", [11, 13]), g.weight("b", "bf16", [11]))); // prettier-ignore
  assert.ok(isCannot(odd) && /rounds before/.test(odd.cannot));
});

test("pictures that lie apart are one product each, with the same weight", () => {
  const tokens = (g: Words): Value => g.transpose(g.input("x", "bf16", [3, 16, 24]), [0, 2, 1]);
  const made = form((g) => g.linear(tokens(g), g.weight("w", "bf16", [40, 16]), g.weight("b", "bf16", [40])));
  assert.ok(!isCannot(made), JSON.stringify(made));
  assert.deepEqual([made.m, made.n, made.batch, made.pictures, made.bias], [40, 24, 1, 3, 2]);
  assert.deepEqual(made.b, { rows: 24, columns: 16, ld: 24, transposed: true, batchStride: 16 * 24 });
  assert.deepEqual([made.d.ld, made.d.batchStride], [40, 24 * 40]);
  const one = form((g) => g.linear(g.transpose(g.input("x", "bf16", [1, 16, 24]), [0, 2, 1]), g.weight("w", "bf16", [40, 16]))); // prettier-ignore
  assert.ok(!isCannot(one) && one.pictures === undefined && one.b.transposed && one.n === 24);
  const sum = form((g) => g.add(g.linear(g.slice(g.input("x", "bf16", [2, 9, 16]), 1, 0, 8), g.weight("w", "bf16", [8, 16])), g.slice(g.input("r", "bf16", [2, 9, 8]), 1, 1, 8))); // prettier-ignore
  assert.ok(!isCannot(sum), JSON.stringify(sum));
  assert.deepEqual([sum.pictures, sum.b.batchStride, sum.residual!.c.batchStride, sum.d.batchStride], [2, 144, 72, 64]);
  const many = form((g) => g.linear(g.transpose(g.input("x", "bf16", [65, 16, 24]), [0, 2, 1]), g.weight("w", "bf16", [40, 16]))); // prettier-ignore
  assert.ok(isCannot(many) && /one stride/.test(many.cannot), "more launches than a step should be");
});
