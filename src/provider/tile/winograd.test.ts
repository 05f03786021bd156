// Convolutions by Winograd's filtering, compiled: where they are offered, that they err little more than tap by tap, and
// what may follow in the same kernel.
import assert from "node:assert/strict";
import test from "node:test";
import { findCompiler } from "../../device/cpu/compile.js";
import type { Value } from "../../graph/node.js";
import type { Region } from "../../graph/region.js";
import type { Words } from "../../graph/words.js";
import { graphOf, regionOf, target, toleranceOf, tryCandidate } from "../native/tryout.fixture.js";
import { isCannot, type Candidate, type Provider } from "../provider.js";
import { factory } from "./provider.js";

const compiler = await findCompiler();
const skip = "cannot" in compiler ? compiler.cannot : false;

async function opened(isa = target.isa): Promise<Provider> {
  const provider = await factory.open({ ...target, isa });
  assert.ok(!isCannot(provider));
  return provider;
}

interface Sizes {
  readonly channels: number;
  readonly results: number;
  readonly lines: number;
  readonly columns: number;
  readonly stride?: number;
  readonly taps?: number;
  readonly dtype?: "f32" | "bf16";
}

const PADDING = [1, 1, 1, 1] as const;

function conv(g: Words, { channels, results, lines, columns, stride = 1, taps = 3, dtype = "f32" }: Sizes): Value {
  const x = g.input("x", dtype, [2, channels, lines, columns]);
  const w = g.weight("w", dtype, [results, channels, taps, taps]);
  return g.conv2d(x, w, g.weight("b", dtype, [results]), { stride, padding: PADDING });
}

const regionFor = (sizes: Sizes): Region => regionOf(graphOf((g) => conv(g, sizes)));

function winogradOf(provider: Provider, region: Region, m?: 2 | 4): readonly Candidate[] {
  const answer = provider.candidates(region, "full");
  assert.ok(!isCannot(answer));
  return answer.filter(({ id }) => id.includes(m ? `Winograd ${m}` : "Winograd"));
}

const EVEN = { channels: 16, results: 16, lines: 8, columns: 8 };

test("offered for 3×3 taps, stride 1 and whole tiles, and nowhere else", { skip }, async () => {
  const provider = await opened();
  const sides = (sizes: Partial<Sizes>): number[] =>
    ([2, 4] as const).filter((m) => winogradOf(provider, regionFor({ ...EVEN, ...sizes }), m).length > 0);
  assert.deepEqual(sides({}), [2, 4]);
  assert.deepEqual(sides({ lines: 6 }), [2]);
  assert.deepEqual(sides({ columns: 7 }), []);
  assert.deepEqual(sides({ stride: 2 }), []);
  assert.deepEqual(sides({ taps: 1 }), []);
  assert.deepEqual(sides({ dtype: "bf16" }), [2, 4]);
});

test("every schedule keeps a third of the tolerance free and comes back from its choice", { skip }, async () => {
  const provider = await opened();
  for (const sizes of [EVEN, { channels: 5, results: 7, lines: 4, columns: 12 }, { channels: 40, results: 24, lines: 8, columns: 20 }]) {
    const region = regionFor(sizes);
    for (const candidate of winogradOf(provider, region)) {
      const error = await tryCandidate(region, candidate, 3);
      assert.ok(error < (2 / 3) * toleranceOf(region), `${candidate.id}: ${error}`);
      const { provider: name, id, params } = candidate;
      const revived = provider.revive(region, { provider: name, id, params });
      assert.ok(!isCannot(revived));
      assert.equal(await tryCandidate(region, revived, 3), error);
    }
  }
}); // prettier-ignore

test("pixels in bf16 err no more than tap by tap: all that is rounded is the result", { skip }, async () => {
  const provider = await opened();
  const region = regionFor({ ...EVEN, dtype: "bf16" });
  const answer = provider.candidates(region, "none");
  assert.ok(!isCannot(answer));
  const plain = await tryCandidate(region, answer[0]!, 3);
  for (const candidate of winogradOf(provider, region)) {
    const error = await tryCandidate(region, candidate, 3);
    assert.ok(error < 1.01 * plain, `${candidate.id}: ${error}, tap by tap ${plain}`);
  }
});

test("activation and residual follow in the same kernel, channels first and last", { skip }, async () => {
  const graph = graphOf((g) => {
    const image = g.silu(g.input("image", "f32", [2, 16, 8, 8]));
    const y = g.conv2d(image, g.weight("w", "f32", [16, 16, 3, 3]), g.weight("b", "f32", [16]), { stride: 1, padding: PADDING }); // prettier-ignore
    return g.silu(g.add(g.silu(y), image));
  });
  const [before, head, ...after] = graph.nodes.map(({ id }) => id);
  const region = regionOf(graph, [head!, ...after.slice(0, 2)]);
  assert.ok(before !== undefined);
  const provider = await opened();
  const layouts = new Set<boolean>();
  for (const candidate of winogradOf(provider, region)) {
    await tryCandidate(region, candidate, 5);
    layouts.add(candidate.layouts.inputs[0] !== undefined);
  }
  assert.deepEqual([...layouts].sort(), [false, true]);
});

test("narrower vectors compute the same", { skip }, async () => {
  const provider = await opened({ ...target.isa, vectorBytes: Math.min(32, target.isa.vectorBytes) });
  const region = regionFor({ channels: 12, results: 20, lines: 8, columns: 8 });
  const candidates = winogradOf(provider, region);
  assert.ok(candidates.length >= 2);
  for (const candidate of candidates) await tryCandidate(region, candidate, 7);
});

test("a choice with a senseless tile is not revived", { skip }, async () => {
  const provider = await opened();
  const region = regionFor(EVEN);
  const { id, params } = winogradOf(provider, region)[0]!;
  for (const winograd of [0, 3, 6, "4"])
    assert.ok(isCannot(provider.revive(region, { provider: "tile", id, params: { ...params, winograd } })), `${winograd}`); // prettier-ignore
});
