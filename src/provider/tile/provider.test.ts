// Every op of the graph has kernels of ours; products and attention agree with float64 by every schedule of the space and
// for narrower vectors, and so do chains of pointwise ops after every kind of head.
import assert from "node:assert/strict";
import test from "node:test";
import { isFloat, type DType } from "../../core/dtype.js";
import { messageOf } from "../../core/error.js";
import { findCompiler } from "../../device/cpu/compile.js";
import { tensorsOf, type OpCase } from "../../graph/case.js";
import { allCases } from "../../graph/cases.js";
import type { ValueId } from "../../graph/node.js";
import { hasTrait, type RefTensor } from "../../graph/op.js";
import { ops } from "../../graph/ops.js";
import type { Region } from "../../graph/region.js";
import type { Words } from "../../graph/words.js";
import { graphOf, regionOf, target, tryCandidate, tryRegion } from "../native/tryout.fixture.js";
import { isCannot, type Candidate, type Effort, type Provider } from "../provider.js";
import { factory } from "./provider.js";

const compiler = await findCompiler();
const skip = "cannot" in compiler ? compiler.cannot : false;

async function opened(isa = target.isa): Promise<Provider> {
  const provider = await factory.open({ ...target, isa });
  assert.ok(!isCannot(provider));
  return provider;
}

/** Ops whose later float operands are weights in models. */
const WEIGHTED: ReadonlySet<string> = new Set([
  "linear",
  "linear_i8",
  "conv2d",
  "layer_norm",
  "rms_norm",
  "group_norm",
]);

interface Job {
  readonly title: string;
  readonly region: Region;
  readonly candidate: Candidate;
  readonly given: ReadonlyMap<ValueId, RefTensor>;
}

function jobsOf(provider: Provider, example: OpCase, dtype: DType, effort: Effort): readonly Job[] {
  const op = ops.get(example.op)!;
  const tensors = tensorsOf(example, dtype);
  const weights = WEIGHTED.has(example.op);
  const graph = graphOf((g) => {
    const inputs = tensors.map(({ dtype: type, shape }, i) =>
      i > 0 && weights && isFloat(type) ? g.weight(`w${i}`, type, shape) : g.input(`x${i}`, type, shape),
    );
    return g.apply(op, example.params, inputs)[0]!;
  });
  const region = regionOf(graph);
  const title = `${example.op}, ${example.title}, in ${dtype}`;
  const candidates = provider.candidates(region, effort);
  assert.ok(!isCannot(candidates), `${title}: ${isCannot(candidates) ? candidates.cannot : ""}`);
  const given = new Map(
    region.inputs.map(({ value }) => [value, tensors[graph.nodes[0]!.inputs.indexOf(value)]!] as const),
  );
  return candidates.map((candidate) => ({ title, region, candidate, given }));
}

/** Compiles all of them side by side, then runs one after another. */
async function runAll(jobs: readonly Job[]): Promise<void> {
  await Promise.all(jobs.map(async ({ candidate }) => (await candidate.build()).dispose()));
  for (const { title, region, candidate, given } of jobs)
    await tryCandidate(region, candidate, given).catch((error: unknown) => {
      throw new Error(`${title}, ${candidate.id}: ${messageOf(error)}`, { cause: error });
    });
}

const working = allCases.filter(({ op }) => !hasTrait(ops.get(op)!, "view"));

// The conformance suite runs them.
for (const dtype of ["f32", "bf16"] as const)
  test(`every op has a plain kernel in ${dtype} for all its cases`, { skip }, async () => {
    const provider = await opened();
    assert.equal(new Set(working.map(({ op }) => op)).size, [...ops.values()].filter((op) => !hasTrait(op, "view")).length); // prettier-ignore
    for (const example of working) assert.ok(jobsOf(provider, example, dtype, "none").length > 0, example.title);
  });

const AVX2 = { name: "avx2", vectorBytes: 32, bf16: false };
const products = working.filter(({ op }) => ["linear", "linear_i8", "matmul", "conv2d", "attention"].includes(op));

test("every schedule of products and attention agrees", { skip }, async () => {
  const provider = await opened();
  await runAll(products.flatMap((example) => jobsOf(provider, example, "f32", "full")));
});

test("products and attention for narrower vectors without bf16 instructions agree", { skip }, async () => {
  const provider = await opened(AVX2);
  for (const dtype of ["f32", "bf16"] as const)
    await runAll(products.flatMap((example) => jobsOf(provider, example, dtype, "none")));
});

const chains: Readonly<Record<string, (g: Words, dtype: DType) => ReturnType<Words["add"]>>> = {
  "linear, gelu": (g, d) => g.geluTanh(g.linear(g.input("x", d, [2, 33, 40]), g.weight("w", d, [72, 40]), g.weight("b", d, [72]))),
  "linear, gate, residual": (g, d) =>
    g.add(
      g.input("r", d, [2, 19, 48]),
      g.mul(g.input("gate", d, [2, 1, 48]), g.linear(g.input("x", d, [2, 19, 36]), g.weight("w", d, [48, 36]))),
    ),
  "8-bit linear, gate, residual": (g, d) =>
    g.add(
      g.input("r", d, [2, 19, 48]),
      g.mul(g.input("gate", d, [2, 1, 48]), g.linearI8(g.input("x", d, [2, 19, 36]), g.weight("w", d, [48, 36]), g.weight("b", d, [48]))),
    ),
  "layer norm, modulation": (g, d) =>
    g.add(
      g.mul(g.layerNorm(g.input("x", d, [2, 21, 70]), undefined, 1e-6), g.input("s", d, [2, 1, 70])),
      g.input("m", d, [2, 1, 70]),
    ),
  "group norm, silu": (g, d) =>
    g.silu(g.groupNorm(g.input("x", d, [1, 24, 7, 9]), g.weight("w", d, [24]), g.weight("b", d, [24]), 4, 1e-6)),
  "convolution, skip": (g, d) =>
    g.add(
      g.input("skip", d, [1, 40, 9, 16]),
      g.conv2d(g.input("x", d, [1, 24, 9, 16]), g.weight("w", d, [40, 24, 3, 3]), g.weight("b", d, [40]), { padding: 1 }),
    ),
  "a pointwise chain that broadcasts": (g, d) =>
    g.silu(g.add(g.mul(g.input("x", d, [3, 5, 17]), g.input("a", d, [5, 1])), g.input("b", d, [3, 1, 17]))),
}; // prettier-ignore

for (const dtype of ["f32", "bf16"] as const)
  for (const [title, build] of Object.entries(chains))
    test(`${title} in one kernel in ${dtype}`, { skip }, async () => {
      const ids = await tryRegion(await opened(), regionOf(graphOf((g) => build(g, dtype))));
      assert.ok(ids.length > 0);
    });

test("a result may lie where an activation of the same shape lay that its last step reads", { skip }, async () => {
  const provider = await opened();
  const graph = graphOf((g) => {
    const residual = g.neg(g.input("r", "f32", [2, 19, 48]));
    return g.add(residual, g.linear(g.input("x", "f32", [2, 19, 36]), g.weight("w", "f32", [48, 36])));
  });
  const region = regionOf(graph, graph.nodes.filter(({ op }) => op !== "neg").map(({ id }) => id)); // prettier-ignore
  const candidates = provider.candidates(region, "none");
  assert.ok(!isCannot(candidates));
  const input = region.inputs.findIndex(({ kind }) => kind === "activation");
  assert.deepEqual(candidates[0]!.aliases, [{ output: 0, input }]);
});

test("a region whose values are needed outside is refused with a reason", { skip }, async () => {
  const provider = await opened();
  const graph = graphOf((g) => {
    const y = g.silu(g.input("x", "f32", [4]));
    return { y, z: g.square(y) };
  });
  const answer = provider.candidates(regionOf(graph), "none");
  assert.ok(isCannot(answer));
  assert.match(answer.cannot, /needed outside/);
});
