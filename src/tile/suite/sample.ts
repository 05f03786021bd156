// Sampling by the Gumbel-max rule (Gumbel 1954; Maddison et al. 2014): the largest of logit / temperature + noise is a
// draw from the softmax. The noise is a function of seed, step and position (Philox4x32-10 as in core/philox.ts), so
// blocks and order do not matter, and nothing but the token is stored.
import { input, kernel, output, type Axis, type Scalar, type Tile } from "../index.js";

type Word<A extends Axis> = Tile<"i32", A>;

/** The upper half of a word of a number, as an unsigned value. */
const upper = <A extends Axis>(x: Word<A>): Word<A> => x.shr(16).and(0xffff);

/** High and low word of factor · x, both unsigned. */
function wide<A extends Axis>(factor: number, x: Word<A>): readonly [high: Word<A>, low: Word<A>] {
  const [low, high] = [factor & 0xffff, factor >>> 16];
  const lower = x.and(0xffff);
  const middle = lower.mul(high).add(upper(lower.mul(low)));
  const carry = upper(x).mul(low).add(middle.and(0xffff));
  return [upper(x).mul(high).add(upper(middle)).add(upper(carry)), x.mul(factor | 0)];
}

/** The first of the four words that Philox makes of the counter (position, 0, stream, 0) and the key (seed, 0). */
export function philoxWord<A extends Axis>(position: Word<A>, stream: Scalar, seed: Scalar): Word<A> {
  const nothing = position.mul(0);
  let [c0, c1, c2, c3] = [position, nothing, nothing.add(stream), nothing];
  for (let round = 0; round < 10; round++) {
    const [h0, l0] = wide(0xd2511f53, c0);
    const [h1, l1] = wide(0xcd9e8d57, c2);
    const k0 = seed.add(Math.imul(round, 0x9e3779b9));
    const k1 = Math.imul(round, 0xbb67ae85);
    [c0, c1, c2, c3] = [h1.xor(c1).xor(k0), l1, h0.xor(c3).xor(k1), l0];
  }
  return c0;
}

/** token[B] drawn from softmax(logits[B V] / temperature); step[B] counts the sequence's draws. */
export const sample = (temperature: number) =>
  kernel(
    "sample",
    { logits: input("f32", "B", "V"), step: input("i32", "B"), seed: input("i32"), token: output("i32", "B") },
    (t, { logits, step, seed, token }) => {
      const row = t.each("B");
      const [stream, key] = [t.load(step, row), t.load(seed)];
      const start = { value: t.full("f32", -Infinity), at: t.full("i32", 0) };
      const best = t.loop("V", start, (v, found) => {
        const bits = philoxWord(t.iota(v), stream, key).shr(9).and(0x7fffff);
        const uniform = bits
          .to("f32")
          .add(0.5)
          .mul(2 ** -23);
        const score = t
          .load(logits, row, v)
          .mul(1 / temperature)
          .sub(uniform.log().neg().log());
        const here = score.max("V");
        const at = t.where(here.gt(found.value), score.argmax("V"), found.at);
        return { value: found.value.maximum(here), at };
      });
      t.store(token, [row], best.at);
    },
  );
