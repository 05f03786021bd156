// Misuse that must not compile. The checker is the test: tsc fails where a marked line is accepted.
import { axis, inout, input, kernel, optional, output, softmax, type Scalar, type Tile } from "./index.js";

const params = {
  a: input("f16", "M", "K"),
  b: input("f16", "K", "N"),
  c: output("f16", "M", "N"),
  w: input("f32", "K"),
  i: input("i32", "M"),
  q: input("i8", "M", "K"),
  s: inout("f32", "M"),
  pair: axis("R", 2),
};

export const misuse = kernel("misuse", params, (t, { a, b, c, w, i, q, s }) => {
  const m = t.program("M");
  const n = t.program("N");
  const row = t.each("M");
  // @ts-expect-error unknown axis
  t.program("Z");
  // @ts-expect-error unknown axis
  t.each("Z");
  // @ts-expect-error N is not an axis of a
  t.load(a, n);
  // @ts-expect-error outputs are not read
  t.load(c, m);
  const x = t.load(a, m);
  const y = t.load(b, n);
  // @ts-expect-error dtype mismatch: f16 + f32
  x.add(t.load(w));
  // @ts-expect-error y has axis N, x does not
  x.add(y);
  x.to("f32").mul(t.load(w)); // K is within M | K: broadcasts by name
  // @ts-expect-error M is not shared by both operands
  t.dot(x, y, "M");
  // @ts-expect-error one of the axes is not shared
  t.dot(x, y, ["K", "N"]);
  // @ts-expect-error reduce over an axis it has not
  x.max("N");
  // @ts-expect-error argmax gives positions, not values
  const most: Tile<"f16", "M"> = x.argmax("K");
  // @ts-expect-error f32 accumulator stored into an f16 tensor
  t.store(c, [m, n], t.dot(x, y, "K"));
  t.store(c, [m, n], t.dot(x, y, "K").to("f16"));
  // @ts-expect-error inputs are not written
  t.store(a, [m], x);
  // @ts-expect-error the value lacks N
  t.store(c, [m, n], t.zeros("f16", "M"));
  // @ts-expect-error a point drops its axis; the value still has M
  t.store(c, [row, n], t.zeros("f16", "M", "N"));
  // @ts-expect-error accumulator lacks N
  t.dot(x, y, "K", t.zeros("f32", "M"));
  // @ts-expect-error i8 operands accumulate in i32
  t.dot(t.load(q, m), t.load(q, row), "K", t.zeros("f32", "M"));
  // @ts-expect-error dots do not mix dtypes
  t.dot(x, t.load(q, row), "K");
  // @ts-expect-error dots take no i32
  t.dot(t.load(i, m), t.load(i, m), "M");
  // @ts-expect-error carry changes dtype
  t.loop("K", t.zeros("f32", "M"), (_, sum) => sum.to("f16"));
  // @ts-expect-error carry changes axes
  t.loop("K", t.zeros("f32", "M", "N"), (_, sum) => sum.sum("N"));
  // @ts-expect-error a carried record loses a value
  t.loop("K", { sum: t.zeros("f32", "M"), most: t.zeros("f32", "M") }, (_, { sum }) => ({ sum }));
  // @ts-expect-error a bound is one number, not a tile
  t.forEach("K", () => {}, { to: t.load(i, m) });
  // @ts-expect-error shares belong to points
  t.forEach("K", () => {}, { part: n });
  // @ts-expect-error positions are i32
  t.gather("K", t.load(w));
  // @ts-expect-error no parameter names axis Z
  t.gather("Z", t.load(i, m));
  // @ts-expect-error a window lies along a block, not a point
  t.window("K", row);
  // @ts-expect-error a point has no end
  t.end(row);
  // @ts-expect-error a mask is bool
  x.where(x, 0);
  // @ts-expect-error the mask has an axis the receiver lacks
  x.where(t.iota(n).lt(3), 0);
  // @ts-expect-error only axes it has are picked from
  x.at("R", 0);
  // @ts-expect-error stacked tiles have the same axes
  t.stack("R", [t.zeros("f32", "M"), t.zeros("f32", "N")]);
  // @ts-expect-error stores reduce by add, max or min
  t.store(s, [m], t.load(s, m), "mul");
  // @ts-expect-error a tile is not a number
  const z: number = x;
  // @ts-expect-error no arithmetic on tiles
  void (x * 2);
  // @ts-expect-error no comparison of tiles
  void (x < 2);
  // @ts-expect-error a pair is no parameter of the body
  t.load(misuse.pair);

  // What must compile, with the types it has.
  const all: Tile<"f16", never> = x.sum();
  const position: Scalar = t.iota(row);
  const mask: Tile<"bool", "M" | "K"> = t.iota(m).lt(t.iota("K"));
  const gathered: Tile<"f16", "M" | "N"> = t.load(b, t.gather("K", t.load(i, m)), n);
  const exact: Tile<"i32", "M"> = t.dot(t.load(q, m), t.load(q, row), "K");
  return void [most, z, all, position, mask, gathered, exact];
});

/** A helper is an ordinary generic function over axis names. */
export const helper = kernel("helper", { x: input("f32", "T", "C") }, (t, { x }) => {
  softmax(t.load(x, t.program("T")), "C");
  // @ts-expect-error Z is not an axis of the tile
  softmax(t.load(x, t.each("T")), "Z");
});

export const choice = (biased: boolean) =>
  kernel("choice", { bias: optional(biased, input("f32", "N")), c: output("f32", "N") }, (t, { bias, c }) => {
    const n = t.program("N");
    // @ts-expect-error an optional parameter may be missing
    t.load(bias, n);
    t.store(c, [n], bias ? t.load(bias, n) : t.zeros("f32", "N"));
  });
