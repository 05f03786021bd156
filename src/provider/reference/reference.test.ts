import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { HostTensor, spanBytes } from "../../check/host-tensor.js";
import { sizeOf } from "../../core/shape.js";
import { fillUniform } from "../../core/philox.js";
import { roundTo } from "../../core/dtype.js";
import { NativeMemory } from "../../device/native/memory.js";
import type { Graph } from "../../graph/node.js";
import { referenceOf } from "../../graph/op.js";
import { opOf } from "../../graph/ops.js";
import { Regions, type Region } from "../../graph/region.js";
import { materialize } from "../../graph/storage.js";
import { Words } from "../../graph/words.js";
import { isCannot } from "../provider.js";
import { factory } from "./provider.js";

const TARGET = {
  device: "cpu",
  hardware: "any",
  isa: { name: "generic", vectorBytes: 16, bf16: false },
  threads: 1,
} as const;

const provider = await factory.open(TARGET);
assert.ok(!isCannot(provider));

/** Regions of single work nodes of a graph, in order. */
function singles(graph: Graph): Region[] {
  const regions = new Regions(materialize(graph));
  return regions.work.map((node) => regions.region([node.id]));
}

/** Runs a region on fresh memory and compares with the op's reference, rounded to the output's dtype. */
async function check(region: Region): Promise<void> {
  assert.ok(provider && !isCannot(provider));
  const offered = provider.candidates(region, "quick");
  assert.ok(!isCannot(offered), "offers a candidate");
  const { provider: name, id, params } = offered[0]!;
  const candidate = provider.revive(region, { provider: name, id, params });
  assert.ok(!isCannot(candidate));
  const kernel = await candidate.build();
  const blocks = [...region.inputs, ...region.outputs].map((operand) => new NativeMemory(spanBytes(operand), "poison"));
  const tensors = [...region.inputs, ...region.outputs].map(
    (operand, i) => new HostTensor(operand, blocks[i]!.address),
  );
  const node = region.nodes[0]!;
  const read = node.inputs.map((value, i) => {
    const at = region.inputs.findIndex((operand) => operand.value === value);
    const { dtype, shape } = region.inputs[at]!;
    const data = new Float64Array(sizeOf(shape));
    fillUniform(data, 3, i);
    tensors[at]!.write(dtype[0] === "i" ? data.map((x, j) => (j % 2) + (x > 2 ? 1 : 0)) : data);
    return { dtype, shape, data: tensors[at]!.read() };
  });
  const want = referenceOf(opOf(node), node.params, read);
  const inputs = region.inputs.map((_, i) => blocks[i]!.address);
  const outputs = region.outputs.map((_, i) => blocks[region.inputs.length + i]!.address);
  for (const step of kernel.bind({ inputs, outputs, workspace: 0n })) {
    assert.equal(step.kind, "host");
    if (step.kind === "host") step.run();
  }
  region.outputs.forEach((operand, i) => {
    const got = tensors[region.inputs.length + i]!.read();
    const rounded = want[i]!.data.map((x) => roundTo(operand.dtype, x));
    got.forEach((x, j) =>
      assert.ok(Math.abs(x - rounded[j]!) <= 2e-7 * Math.abs(x), `${node.op} ${j}: ${x} ${rounded[j]}`),
    );
  });
  kernel.dispose();
}

describe("the reference provider", () => {
  it("computes ops on strided inputs and outputs, in every dtype they come in", async () => {
    for (const dtype of ["f32", "bf16", "f16", "f64"] as const) {
      const g = new Words("strided");
      const x = g.input("x", dtype, [2, 5, 12]);
      const qkv = g.linear(x, g.weight("w", dtype, [24, 12]), g.weight("b", dtype, [24]));
      const [q, k, v] = [0, 8, 16].map((start) => g.reshape(g.slice(qkv, 2, start, 8), [2, 5, 2, 4]));
      const mixed = g.attention(q!, k!, v!);
      const joined = g.concat([g.reshape(mixed, [2, 5, 8]), g.geluTanh(x)], 2);
      const graph = g.finish({ out: g.layerNorm(joined, undefined, 1e-6) });
      for (const region of singles(graph)) await check(region);
    }
  });

  it("computes integer-indexed ops and images", async () => {
    const g = new Words("gather");
    const rows = g.embedding(g.input("ids", "i32", [6]), g.weight("table", "bf16", [9, 4]));
    const image = g.conv2d(g.input("x", "f32", [1, 3, 8, 7]), g.weight("w", "f32", [4, 3, 3, 3]), undefined, {
      stride: 1,
      padding: [1, 1, 1, 1],
    });
    const normed = g.groupNorm(image, g.weight("gw", "f32", [4]), g.weight("gb", "f32", [4]), 2, 1e-6);
    const graph = g.finish({ rows, out: g.upsampleNearest(g.silu(normed), 2) });
    for (const region of singles(graph)) await check(region);
  });

  it("has a reason against several ops, empty operands and foreign choices", () => {
    assert.ok(provider && !isCannot(provider));
    const g = new Words("two");
    const x = g.input("x", "f32", [2, 3]);
    const graph = g.finish({ out: g.silu(g.square(x)) });
    const regions = new Regions(graph);
    const both = provider.candidates(regions.region(regions.work.map((node) => node.id)), "quick");
    assert.match(isCannot(both) ? both.cannot : "", /one op at a time/);
    const one = regions.region([regions.work[0]!.id]);
    const foreign = provider.revive(one, { provider: "reference", id: "fast", params: {} });
    assert.match(isCannot(foreign) ? foreign.cannot : "", /no fast/);
  });

  it("refuses another device with a reason", async () => {
    const answer = await factory.open({ ...TARGET, device: "cuda" });
    assert.match(isCannot(answer) ? answer.cannot : "", /host memory/);
  });
});
