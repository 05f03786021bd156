import assert from "node:assert/strict";
import test from "node:test";
import { trace } from "../../tile/index.js";
import { attention } from "../../tile/suite/attention.js";
import { isCannot } from "./form.js";
import { matchCanonical } from "./match.js";
import { checkMatmul, NOTHING_AHEAD, type Ahead } from "./schedule.js";
import { attentionCandidates, matmulCandidates } from "./space.js";

/** A gate and a residual over the whole tile; tables of angles for heads of 128. */
const GATED: Ahead = { tile: true, tableBoxes: 0 };
const TURNED: Ahead = { tile: false, tableBoxes: 4 };

test("the first candidate of a square is the tile that leaves full waves", () => {
  const [first] = matmulCandidates(NOTHING_AHEAD, { m: 4096, n: 4096, k: 4096, batch: 1 }, 132);
  assert.deepEqual([first!.blockM, first!.blockN], [128, 256]);
});

test("a shape of three and a bit waves shares its last tiles, or its warpgroups take turns where it is too short", () => {
  const tile = (k: number): readonly (number | boolean)[] => {
    const [first] = matmulCandidates(GATED, { m: 4352, n: 3072, k, batch: 1 }, 132);
    return [first!.blockM, first!.blockN, first!.sharesTail ?? false];
  };
  assert.deepEqual(tile(15360), [128, 256, true]);
  assert.deepEqual(tile(1024), [128, 128, false]);
});

test("warpgroups take turns where the epilogue is long beside the products, not where it is short or the ring would be", () => {
  const turns = (k: number, ahead: Ahead = NOTHING_AHEAD, m = 4096): boolean =>
    matmulCandidates(ahead, { m, n: 12288, k, batch: 1 }, 132)[0]!.turns ?? false;
  assert.deepEqual([turns(3072), turns(49152), turns(49152, GATED)], [true, false, false]);
  assert.equal(turns(3072, NOTHING_AHEAD, 128), false, "a tile a block leaves one of two without work");
  for (const { turns = false, stages } of matmulCandidates(GATED, { m: 4096, n: 12288, k: 3072, batch: 1 }, 132))
    assert.ok(!turns || stages >= 4);
});

test("a few rows get a small tile", () => {
  const [first] = matmulCandidates(NOTHING_AHEAD, { m: 64, n: 3072, k: 4096, batch: 1 }, 132);
  assert.equal(first!.blockM, 64);
});

test("few tiles are shared by two blocks each, many tiles or short products are not", () => {
  const splits = (m: number, k: number): readonly (number | undefined)[] =>
    matmulCandidates(NOTHING_AHEAD, { m, n: 3072, k, batch: 1 }, 132).map(({ split }) => split);
  assert.equal(splits(256, 3072)[0], 2);
  assert.ok(!splits(4096, 12288).includes(2));
  assert.ok(!splits(256, 256).includes(2));
});

test("the last tiles are shared where they leave half of the device idle, not where waves are full", () => {
  const tails = (m: number, n: number): readonly boolean[] =>
    matmulCandidates(NOTHING_AHEAD, { m, n, k: 15360, batch: 1 }, 132).map(({ sharesTail = false }) => sharesTail); // prettier-ignore
  for (const n of [3072, 9216, 12288]) assert.ok(tails(4352, n)[0], `4352 × ${n}`);
  assert.ok(!tails(132 * 128, 256 * 132)[0]);
});

test("rows of tiles walked together are even shares of all rows", () => {
  const [first] = matmulCandidates(NOTHING_AHEAD, { m: 4352, n: 9216, k: 3072, batch: 1 }, 132);
  const groups = Math.ceil(34 / first!.groupM);
  assert.ok(groups > 1 && Math.ceil(34 / groups) === first!.groupM, `${first!.groupM} of 34`);
});

test("few rows of tiles are walked together where a wave takes nearly all columns, but for pictures", () => {
  const rows = (n: number, picture?: { readonly lines: number; readonly columns: number }): number | undefined =>
    matmulCandidates(GATED, { m: 4096, n, k: 12288, batch: 1, ...(picture && { picture }) }, 132)
      .find(({ blockM, blockN, cluster }) => blockM === 128 && blockN === 256 && cluster === 1)!.groupM; // prettier-ignore
  assert.deepEqual([rows(3072), rows(12288), rows(512, { lines: 64, columns: 64 })], [4, 16, 16]);
});

test("a long epilogue of many columns goes by the widest tile whose turns need no more registers than there are", () => {
  for (const m of [4096, 4352])
    for (const batch of [1, 32]) {
      const [{ blockN, turns } = {}] = matmulCandidates(NOTHING_AHEAD, { m, n: 12288, k: 3072, batch }, 132);
      assert.deepEqual([blockN, turns], [160, true], `${batch} times ${m} rows`);
    }
});

test("every candidate is within the limits, rings shortened where the epilogue fetches a tensor", () => {
  const plain = matmulCandidates(NOTHING_AHEAD, { m: 4096, n: 4096, k: 4096, batch: 1 }, 132);
  const gated = matmulCandidates(GATED, { m: 4096, n: 4096, k: 4096, batch: 1 }, 132);
  for (const schedule of plain) assert.ok(!isCannot(checkMatmul(schedule)));
  for (const schedule of gated) assert.ok(!isCannot(checkMatmul(schedule, GATED)));
  assert.deepEqual([plain[0]!.stages, gated[0]!.stages], [4, 3]);
});

test("tables of angles are fetched where a ring of three is left beside them", () => {
  const all = matmulCandidates(TURNED, { m: 4352, n: 9216, k: 3072, batch: 1 }, 132);
  for (const schedule of all) assert.ok(!isCannot(checkMatmul(schedule, TURNED)));
  const [first] = all;
  assert.deepEqual([first!.blockN, first!.stages, first!.fetchesTables], [256, 3, true]);
  const fetching = all.filter(({ fetchesTables }) => fetchesTables);
  assert.ok(fetching.every(({ stages, blockM }) => stages >= 3 && blockM < 256) && fetching.length < all.length);
  assert.ok(matmulCandidates(NOTHING_AHEAD, { m: 4352, n: 9216, k: 3072, batch: 1 }, 132).every(({ fetchesTables }) => !fetchesTables)); // prettier-ignore
});

test("attention begins with the widest block of keys, causal attention with a narrower one", () => {
  for (const [causal, keys] of [
    [false, 176],
    [true, 128],
  ] as const) {
    const form = matchCanonical(trace(attention("bf16", { scale: 1, causal })));
    assert.ok(!isCannot(form) && form.kind === "attention");
    assert.equal(attentionCandidates(form, 128, 128)[0]!.blockKeys, keys);
  }
});

test("a picture goes by patches that need the fewest tiles, the squarest of them first", () => {
  const of = (lines: number, columns: number, n: number) =>
    matmulCandidates(NOTHING_AHEAD, { m: lines * columns, n, k: 4608, batch: 1, picture: { lines, columns } }, 132);
  const [first, ...others] = of(512, 512, 256);
  assert.deepEqual([first!.blockM, first!.blockN, first!.patch], [128, 256, 16]);
  assert.ok(others.some(({ blockM, blockN, patch }) => blockM === 128 && blockN === 256 && patch === 32));
  assert.ok(others.every(({ blockM, patch }) => patch !== undefined && blockM % patch === 0));
  assert.equal(of(4, 512, 256)[0]!.patch, 32, "four lines fill no patch eight lines high");
});

test("tiles left over are counted by patches", () => {
  // 132 × 128 pixels are one wave of tiles; 704 lines of 24 are 176 patches, 44 more than a wave.
  const shares = (picture?: { lines: number; columns: number }): boolean =>
    matmulCandidates(NOTHING_AHEAD, { m: 704 * 24, n: 256, k: 4608, batch: 1, ...(picture && { picture }) }, 132).some(
      ({ blockM, blockN, sharesTail }) => blockM === 128 && blockN === 256 && sharesTail,
    );
  assert.ok(!shares() && shares({ lines: 704, columns: 24 }));
});
