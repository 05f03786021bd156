// Random small kernels: whatever traces also verifies, prints, survives JSON, and gives the same integers with any
// blocks and in any order of programs.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  identityOf,
  inout,
  input,
  interpret,
  kernel,
  output,
  print,
  trace,
  verify,
  type AnyKernel,
  type Tile,
  type TileProgram,
} from "./index.js";
import { fill } from "./suite/harness.js";

type Any = Tile<"i32", string>;
interface Step {
  readonly what: "add" | "sub" | "mul" | "maximum" | "minimum" | "where" | "sum" | "max" | "abs" | "cast" | "constant";
  readonly i: number;
  readonly j: number;
}
const step = fc.record({
  what: fc.constantFrom("add", "sub", "mul", "maximum", "minimum", "where", "sum", "max", "abs", "cast", "constant"),
  i: fc.nat(50),
  j: fc.nat(50),
}) satisfies fc.Arbitrary<Step>;

const axesOf = (tile: Any): readonly string[] => (tile as unknown as { readonly axes: readonly string[] }).axes;
const axesWithin = (small: Any, large: Any): boolean => axesOf(small).every((axis) => axesOf(large).includes(axis));

/** Grows a pool of tiles; steps that do not fit what they picked, or that would reduce a block, are left out. */
function grow(pool: readonly Any[], steps: readonly Step[], whole: readonly string[]): readonly Any[] {
  const tiles = [...pool];
  for (const { what, i, j } of steps) {
    const [x, y] = [tiles[i % tiles.length]!, tiles[j % tiles.length]!];
    const axis = axesOf(x).find((name) => whole.includes(name));
    switch (what) {
      case "sum":
      case "max":
        if (axis !== undefined) tiles.push(x[what](axis) as unknown as Any);
        break;
      case "where":
        if (axesWithin(y, x)) tiles.push(x.where(y.lt(j - 25) as Tile<"bool", string>, y));
        break;
      case "cast":
        tiles.push(x.mod(100).to("f32").mul(0.5).floor().to("i32"));
        break;
      case "abs":
        tiles.push(x.abs());
        break;
      case "constant":
        tiles.push(x.mul(j - 25));
        break;
      default:
        if (axesWithin(y, x)) tiles.push(x[what](y));
    }
  }
  return tiles;
}

/** Steps before a loop over B and in it; what is carried and stored are mixtures of all that was made. */
const random = (before: readonly Step[], inside: readonly Step[]): AnyKernel =>
  kernel(
    "random",
    {
      x: input("i32", "A", "B", "C"), s: input("i32", "A"), w: input("i32", "B", "C"),
      y: output("i32", "A"), z: output("i32", "A", "B"), total: inout("i32"),
    },
    (t, { x, s, w, y, z, total }) => {
      const a = t.program("A");
      const known = [t.load(s, a), t.iota(a), t.load(x, a).sum("B"), t.load(x, a)] as unknown as Any[];
      const outer = grow(known, before, ["B", "C"]).filter((tile) => !axesOf(tile).includes("B"));
      const carried = t.loop("B", t.load(s, a), (b, sum) => {
        const here = [t.load(x, a, b), t.load(w, b), t.iota(b)] as unknown as Any[];
        const made = grow([...outer, ...here], inside, ["C"]).map((tile) => (axesOf(tile).includes("C") ? tile.sum("C") : tile));
        const first = t.load(x, a, b).max("C") as unknown as Any;
        const mixed = made.reduce((all, tile) => all.mul(31).add(tile), first) as unknown as Tile<"i32", "A" | "B">;
        t.store(z, [a, b], mixed);
        return sum.add(mixed.sum("B"));
      });
      t.store(y, [a], carried);
      t.store(total, [], carried.sum(), "add");
    },
  ); // prettier-ignore

function results(program: TileProgram, blocks: Readonly<Record<string, number>>, reverse: boolean): number[][] {
  const [A, B, C] = [5, 7, 3];
  const tensors = {
    x: fill([A, B, C], (m, n, c) => ((m * 7919 + n * 104_729 + c * 31) % 2003) - 1000), s: fill([A], (m) => m * m - 7),
    w: fill([B, C], (n, c) => 13 - 5 * n + c), y: fill([A], () => 0), z: fill([A, B], () => 0), total: fill([], () => 3),
  }; // prettier-ignore
  interpret(program, { tensors, blocks, reverse });
  return [tensors.y, tensors.z, tensors.total].map((tensor) => [...tensor.data]);
}

test("random kernels trace, verify, print, survive JSON and do not depend on blocks or order", () => {
  let ops = 0;
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 8 }), fc.array(step, { maxLength: 12 }), fc.integer({ min: 1, max: 6 }), fc.integer({ min: 1, max: 8 }),
      (before, inside, A, B) => {
        const program = trace(random(before, inside));
        const back = JSON.parse(JSON.stringify(program)) as TileProgram;
        verify(back);
        assert.deepEqual(back, program);
        assert.equal(print(back), print(program));
        assert.equal(identityOf(back), identityOf(trace(random(before, inside))));
        ops = Math.max(ops, print(program).split("\n").length);
        const whole = results(program, {}, false);
        assert.deepEqual(results(back, { A, B }, true), whole);
        assert.deepEqual(results(back, { A: 1, B }, false), whole);
      },
    ),
    { numRuns: 150, seed: 7 },
  ); // prettier-ignore
  assert.ok(ops > 20, "the kernels are not trivial");
});
