// Products as they are handed to the library, computed by an emulation of it, against sums over the operands' strides.
import assert from "node:assert/strict";
import test from "node:test";
import { fillNormal } from "../../core/philox.js";
import { coordinateOf, offsetOf, sizeOf } from "../../core/shape.js";
import type { Value } from "../../graph/node.js";
import { Regions } from "../../graph/region.js";
import { Words } from "../../graph/words.js";
import { isCannot } from "../provider.js";
import { emulatedCublasLt } from "./emulated.fixture.js";
import { formOf } from "./form.js";
import { alignedApart, Product } from "./product.js";

/** Numbers of every operand, in order, the last of which is the result's; f32. */
const SPACE = 4096;

/** Runs the region and compares what lies where the result belongs with a linear of x, w, bias and residual. */
function check(build: (g: Words) => Value, launches: number): void {
  const g = new Words("product");
  const regions = new Regions(g.finish({ y: build(g) }));
  const region = regions.region(regions.work.map((node) => node.id));
  const form = formOf(region);
  assert.ok(!isCannot(form), JSON.stringify(form));
  const operands = [...region.inputs, ...region.outputs];
  const memory = new Float32Array(SPACE * operands.length);
  fillNormal(memory, 7, 1);
  const before = memory.slice();
  const address = (index: number): bigint => BigInt(4 * SPACE * index);
  const product = new Product(emulatedCublasLt(memory), "product", form, { bytes: new Uint8Array(64), workspaceBytes: 0 }); // prettier-ignore
  const steps = product.bind({ inputs: region.inputs.map((_, i) => address(i)), outputs: [address(operands.length - 1)], workspace: 0n }); // prettier-ignore
  assert.equal(steps.length, launches);
  for (const step of steps) if (step.kind === "launch") step.launch({ handle: 0n } as never);

  const output = region.outputs[0]!;
  const read = (index: number, at: readonly number[]): number => before[SPACE * index + offsetOf(at, operands[index]!.strides)]!; // prettier-ignore
  const [x, w] = [form.right, form.left];
  const result = new Set<number>();
  for (let i = 0; i < sizeOf(output.shape); i++) {
    const at = coordinateOf(i, output.shape);
    const weight = (k: number): readonly number[] => (region.inputs[w]!.shape.length === 2 ? [at.at(-1)!, k] : [...at.slice(0, -2), k, at.at(-1)!]); // prettier-ignore
    let sum = form.bias === undefined ? 0 : read(form.bias, [at.at(-1)!]);
    if (form.residual) sum += read(form.residual.input, at);
    for (let k = 0; k < region.inputs[x]!.shape.at(-1)!; k++) sum += read(x, at.with(-1, k)) * read(w, weight(k));
    const place = SPACE * (operands.length - 1) + offsetOf(at, output.strides);
    result.add(place);
    assert.ok(Math.abs(memory[place]! - sum) < 1e-4, `[${at.join(", ")}] ${memory[place]} for ${sum}`);
  }
  memory.forEach((value, i) => assert.ok(result.has(i) || value === before[i], `${i} was written`));
}

const turned = (g: Words, B: number): Value => g.transpose(g.input("x", "f32", [B, 16, 24]), [0, 2, 1]);
const w = (g: Words): Value => g.weight("w", "f32", [40, 16]);

test("rows at one stride are one product, whichever of their dims lies innermost", () => {
  check((g) => g.linear(g.input("x", "f32", [2, 5, 16]), w(g), g.weight("b", "f32", [40])), 1);
  check((g) => g.linear(turned(g, 1), w(g), g.weight("b", "f32", [40])), 1);
});

test("pictures that lie apart are multiplied one after another, with the same weight and bias", () => {
  check((g) => g.linear(turned(g, 3), w(g), g.weight("b", "f32", [40])), 3);
  check((g) => g.linear(g.slice(g.input("x", "f32", [2, 9, 16]), 1, 1, 6), w(g)), 2);
});

test("what is added lies apart as well", () => {
  const rows = (g: Words, name: string, width: number): Value => g.slice(g.input(name, "f32", [2, 9, width]), 1, 2, 5);
  check((g) => g.add(g.linear(rows(g, "x", 16), w(g)), rows(g, "r", 40)), 2);
});

test("a batch of weights is one call", () => {
  check((g) => g.matmul(g.input("x", "f32", [3, 5, 16]), g.input("y", "f32", [3, 16, 8])), 1);
});

test("what divides the first address and the way to the next divides all", () => {
  assert.deepEqual([alignedApart(64, 0), alignedApart(64, 48), alignedApart(16, 2 ** 32), alignedApart(64, 2 ** 32 + 2)], [64, 16, 16, 2]); // prettier-ignore
});
