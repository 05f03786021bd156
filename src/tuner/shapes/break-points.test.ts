import assert from "node:assert/strict";
import { test } from "node:test";
import { BreakPoints, magnitudeOf } from "./break-points.js";

const heights = (magnitude: number): readonly number[] => Array.from({ length: 2 ** magnitude }, (_, i) => 2 ** magnitude + i); // prettier-ignore

test("below 2^12 rows every height has its own winner, however often that changes", () => {
  const fastestAt = (rows: number): number => (rows % 14 === 0 ? 2 : rows % 97 < 40 ? 1 : 0);
  for (let magnitude = 0; magnitude < 12; magnitude++) {
    const table = new BreakPoints(magnitude, fastestAt);
    for (const rows of heights(magnitude)) assert.equal(table.at(rows), fastestAt(rows), `${rows} rows`);
    assert.ok(table.starts.every((start, i) => i === 0 || start > table.starts[i - 1]!));
    assert.ok(table.ways.every((way, i) => way !== table.ways[i - 1]));
  }
});

test("above, a change is found at its height, and a winner of one height alone may be missed", () => {
  const table = (fastestAt: (rows: number) => number) => {
    let looks = 0;
    const { starts, ways } = new BreakPoints(14, (rows) => (looks++, fastestAt(rows)));
    assert.ok(looks < 2100, `${looks} looks`);
    return [starts, ways];
  };
  assert.deepEqual(table((rows) => (rows < 20_001 ? 0 : rows < 20_003 ? 1 : rows < 30_001 ? 2 : 3)), [[16_384, 20_001, 20_003, 30_001], [0, 1, 2, 3]]); // prettier-ignore
  assert.deepEqual(
    table((rows) => (rows === 20_001 ? 1 : 0)),
    [[16_384], [0]],
  );
});

test("magnitudes begin at powers of two", () => {
  assert.deepEqual([1, 2, 3, 4, 4095, 4096].map(magnitudeOf), [0, 1, 1, 2, 11, 12]); // prettier-ignore
});
