// Paged attention in one pass and with its pages dealt out, compiled: which is offered where, values and workspace, and
// that every candidate comes back from its stored choice.
import assert from "node:assert/strict";
import test from "node:test";
import { rowError } from "../../check/row-error.js";
import { findCompiler } from "../../device/cpu/compile.js";
import { openCpu } from "../../device/cpu/device.js";
import { NativeMemory } from "../../device/native/memory.js";
import { dtypeBytes, readElement, roundTo, writeElement, type DType } from "../../core/dtype.js";
import { fillNormal } from "../../core/philox.js";
import { sizeOf } from "../../core/shape.js";
import { tensorsOf } from "../../graph/case.js";
import { allCases } from "../../graph/cases.js";
import { referenceOf, type RefTensor } from "../../graph/op.js";
import { ops } from "../../graph/ops.js";
import type { Region } from "../../graph/region.js";
import { graphOf, regionOf, target, toleranceOf, tryCandidate, tryRegion } from "../native/tryout.fixture.js";
import { isCannot, type Candidate, type Provider } from "../provider.js";
import { factory } from "./provider.js";

const compiler = await findCompiler();
const skip = "cannot" in compiler ? compiler.cannot : false;

async function opened(threads: number): Promise<Provider> {
  const provider = await factory.open({ ...target, threads });
  assert.ok(!isCannot(provider));
  return provider;
}

interface Sizes {
  readonly dtype: DType;
  readonly sequences: number;
  readonly tokens: number;
  readonly pages: number;
}

const [H, G, D, SLOTS] = [4, 2, 16, 4];

function regionFor({ dtype, sequences: B, tokens: T, pages }: Sizes): Region {
  return regionOf(
    graphOf((g) => {
      const cache = (name: string) => g.input(name, dtype, [B * pages, SLOTS, G, D]);
      const table = g.input("pages", "i32", [B, pages]);
      return g.pagedAttention(g.input("q", dtype, [B, T, H, D]), cache("keys"), cache("values"), table, g.input("lengths", "i32", [B]), { causal: true }); // prettier-ignore
    }),
  );
}

/** Values for the region's inputs; every sequence's pages lie in reverse. */
function valuesFor({ dtype, sequences: B, tokens, pages }: Sizes, lengths: readonly number[]): readonly RefTensor[] {
  const normal = (shape: readonly number[], seed: number): RefTensor => {
    const data = new Float64Array(sizeOf(shape));
    fillNormal(data, seed, 0);
    return { dtype, shape, data: data.map((x) => roundTo(dtype, x)) };
  };
  const table = Float64Array.from({ length: B * pages }, (_, i) => B * pages - 1 - i);
  return [
    normal([B, tokens, H, D], 1),
    normal([B * pages, SLOTS, G, D], 2),
    normal([B * pages, SLOTS, G, D], 3),
    { dtype: "i32", shape: [B, pages], data: table },
    { dtype: "i32", shape: [B], data: Float64Array.from(lengths) },
  ];
}

const given = (region: Region, values: readonly RefTensor[]) =>
  new Map(region.inputs.map(({ value }) => [value, values[region.nodes[0]!.inputs.indexOf(value)]!]));

function offers(provider: Provider, region: Region): readonly Candidate[] {
  const answer = provider.candidates(region, "quick");
  assert.ok(!isCannot(answer));
  return answer;
}

const idsOf = (candidates: readonly Candidate[]): readonly string[] => candidates.map(({ id }) => id);

test("parts are offered where one pass leaves threads idle, and no more than there are pages", { skip }, async () => {
  const few = regionFor({ dtype: "f32", sequences: 1, tokens: 1, pages: 5 });
  const one = "paged_attention";
  assert.deepEqual(idsOf(offers(await opened(2), few)), [one, `${one}, split in 2`, `${one}, split in 4`]);
  const single = regionFor({ dtype: "f32", sequences: 1, tokens: 1, pages: 1 });
  assert.deepEqual(idsOf(offers(await opened(2), single)), [one]);
  const many = regionFor({ dtype: "f32", sequences: 16, tokens: 1, pages: 8 });
  assert.deepEqual(idsOf(offers(await opened(2), many)), [one]);
  assert.equal(offers(await opened(64), many).length, 4);
});

test("the workspace of parts holds what each of them leaves", { skip }, async () => {
  const [B, T] = [3, 2];
  const [plain, two, four] = offers(await opened(2), regionFor({ dtype: "bf16", sequences: B, tokens: T, pages: 6 }));
  const floats = B * T * H * (2 + D); // maximum, sum and accumulator of every query head, in f32
  const scratch = plain!.workspaceBytes;
  assert.ok(two!.workspaceBytes >= scratch + 2 * floats * 4);
  assert.ok(four!.workspaceBytes >= scratch + 4 * floats * 4);
  assert.ok(four!.workspaceBytes < scratch + 8 * floats * 4);
});

for (const dtype of ["f32", "bf16"] as const) {
  test(`every way agrees on the op's cases in ${dtype} and comes back from its choice`, { skip }, async () => {
    const provider = await opened(2);
    const ways = new Set<string>();
    for (const example of allCases.filter(({ op }) => op === "paged_attention")) {
      const tensors = tensorsOf(example, dtype);
      const op = ops.get(example.op)!;
      const region = regionOf(graphOf((g) => g.apply(op, example.params, tensors.map((x, i) => g.input(`x${i}`, x.dtype, x.shape)))[0]!)); // prettier-ignore
      for (const id of await tryRegion(provider, region, given(region, tensors))) ways.add(id);
    }
    assert.deepEqual([...ways].sort(), ["paged_attention", "paged_attention, split in 2"]);
  });

  test(`sequences of very different length agree in ${dtype}, whatever the parts get`, { skip }, async () => {
    const provider = await opened(3);
    for (const tokens of [1, 3]) {
      const sizes = { dtype, sequences: 3, tokens, pages: 9 };
      const region = regionFor(sizes);
      const candidates = offers(provider, region);
      assert.equal(candidates.length, 4);
      for (const lengths of [[36, 3, 17], [1, 0, 2], [9, 33, 8]]) // prettier-ignore
        for (const candidate of candidates) await tryCandidate(region, candidate, given(region, valuesFor(sizes, lengths))); // prettier-ignore
    }
  });
}

/** What a candidate gives for values for which the op has no reference. */
async function resultOf(region: Region, candidate: Candidate, values: readonly RefTensor[]): Promise<Float64Array> {
  const kernel = await candidate.build();
  const placed = region.inputs.map(({ value }) => {
    const { dtype, data } = given(region, values).get(value)!;
    const memory = new NativeMemory(data.length * dtypeBytes(dtype), "poison");
    const view = new DataView(memory.view());
    data.forEach((x, i) => writeElement(view, dtype, i, x));
    return memory;
  });
  const [{ dtype, shape }] = region.outputs as readonly [Region["outputs"][number]];
  const out = new NativeMemory(sizeOf(shape) * dtypeBytes(dtype), "poison");
  const workspace = new NativeMemory(candidate.workspaceBytes, "poison");
  const program = openCpu({ ...target, threads: 2 }).program(
    kernel.bind({ inputs: placed.map(({ address }) => address), outputs: [out.address], workspace: workspace.address }),
  );
  await program.run();
  const view = new DataView(out.view());
  const result = Float64Array.from({ length: sizeOf(shape) }, (_, i) => readElement(view, dtype, i));
  program.dispose();
  kernel.dispose();
  return result;
}

test("a page that is missing counts as zeros in every way", { skip }, async () => {
  const sizes = { dtype: "f32", sequences: 2, tokens: 1, pages: 6 } as const;
  const region = regionFor(sizes);
  const [q, keys, values, table, lengths] = valuesFor(sizes, [23, 9]) as [RefTensor, RefTensor, RefTensor, RefTensor, RefTensor]; // prettier-ignore
  const page = SLOTS * G * D;
  // No table names page 0; as zeros it stands for what is missing.
  const zeroed = (cache: RefTensor): RefTensor => ({ ...cache, data: cache.data.map((x, i) => (i < page ? 0 : x)) });
  const tables = (none: number): RefTensor => ({ ...table, data: table.data.map((p, i) => (i % 4 === 1 || p === 0 ? none : p)) }); // prettier-ignore
  const { params } = region.nodes[0]!;
  const [wanted] = referenceOf(ops.get("paged_attention")!, params, [q, zeroed(keys), zeroed(values), tables(0), lengths]); // prettier-ignore
  for (const candidate of offers(await opened(2), region)) {
    const got = await resultOf(region, candidate, [q, keys, values, tables(-1), lengths]);
    assert.ok(got.every(Number.isFinite), candidate.id);
    const { error } = rowError(got, wanted!.data, wanted!.shape);
    assert.ok(error <= toleranceOf(region), `${candidate.id}: error ${error}`);
  }
});

test("a choice with a senseless number of parts is not revived", { skip }, async () => {
  const provider = await opened(2);
  const region = regionFor({ dtype: "f32", sequences: 1, tokens: 1, pages: 4 });
  const { id, params } = offers(provider, region)[1]!;
  for (const parts of [0, 1, 1.5, -2, "2"])
    assert.ok(isCannot(provider.revive(region, { provider: "tile", id, params: { ...params, parts } })), `${parts}`);
});
