// The K largest of a row with their positions, largest first, equal ones by position: held whole, or block by block
// for rows of any length (vocabularies), where each round looks for the largest one after the last.
import { input, kernel, output, type Tile } from "../index.js";

const params = { x: input("f32", "T", "N"), values: output("f32", "T", "K"), positions: output("i32", "T", "K") };

export const topK = kernel("top_k", params, (t, { x, values, positions }) => {
  const row = t.program("T");
  t.loopEach("K", { rest: t.load(x, row) }, (k, { rest }) => {
    const best = rest.argmax("N");
    t.store(values, [row, k], rest.max("N"));
    t.store(positions, [row, k], best);
    return { rest: t.where(t.iota("N").eq(best), -Infinity, rest) };
  });
});

interface Found {
  readonly value: Tile<"f32", "T">;
  readonly position: Tile<"i32", "T">;
}
/** Comes after `b` in the order of the result. */
const after = <A extends string, B extends A>(
  a: { readonly value: Tile<"f32", A>; readonly position: Tile<"i32", B> },
  b: Found,
): Tile<"bool", A | "T"> => a.value.lt(b.value).or(a.value.eq(b.value).and(a.position.gt(b.position)));

export const topKLong = kernel("top_k_long", params, (t, { x, values, positions }) => {
  const row = t.program("T");
  const none = (value: number): Found => ({ value: t.full("f32", value, "T"), position: t.full("i32", -1, "T") });
  t.loopEach("K", { ...none(Infinity) }, (k, last) => {
    const best = t.loop("N", { ...none(-Infinity) }, (n, found) => {
      const v = t.load(x, row, n);
      const left = t.where(after({ value: v, position: t.iota(n) }, last), v, -Infinity);
      const here = left.max("N");
      const better = here.gt(found.value);
      return { value: found.value.maximum(here), position: t.where(better, left.argmax("N"), found.position) };
    });
    t.store(values, [row, k], best.value);
    t.store(positions, [row, k], best.position);
    return { ...best };
  });
});
