// Random graphs of the ops that models are made of, the same for a seed: stretches of a transformer over ragged token
// counts, and of an image decoder over ragged pictures.
import type { Graph, Value } from "../../src/graph/node.js";
import { Words } from "../../src/graph/words.js";
import { philox } from "../../src/core/philox.js";

/** A whole number in 0 … below - 1. */
type Draw = (below: number) => number;

type Block = (g: Words, x: Value, draw: Draw, name: string) => Value;

const linear = (g: Words, x: Value, out: number, name: string): Value =>
  g.linear(x, g.weight(`${name}.weight`, "f32", [out, x.shape.at(-1)!]), g.weight(`${name}.bias`, "f32", [out]));

const widthOf = (x: Value): number => x.shape.at(-1)!;

const TOKEN_BLOCKS: readonly Block[] = [
  (g, x, draw, name) => {
    const inner = linear(g, g.layerNorm(x, undefined, 1e-6), widthOf(x) * (1 + draw(4)), `${name}.up`);
    const hidden = draw(2) === 0 ? g.geluTanh(inner) : g.silu(inner);
    return g.add(x, linear(g, hidden, widthOf(x), `${name}.down`));
  },
  (g, x, draw, name) => {
    const heads = 1 + draw(4);
    const width = 16 * (1 + draw(3));
    const part = (what: string): Value =>
      g.reshape(linear(g, x, heads * width, `${name}.${what}`), [1, x.shape[1]!, heads, width]);
    const query = g.rmsNorm(part("q"), g.weight(`${name}.norm`, "f32", [width]), 1e-6);
    const out = g.reshape(g.attention(query, part("k"), part("v")), [1, x.shape[1]!, heads * width]);
    return g.add(x, linear(g, out, widthOf(x), `${name}.out`));
  },
  (g, x, _draw, name) => {
    const scale = g.weight(`${name}.scale`, "f32", [widthOf(x)]);
    return g.add(g.mul(g.layerNorm(x, undefined, 1e-6), g.add(scale, 1)), g.weight(`${name}.shift`, "f32", [widthOf(x)])); // prettier-ignore
  },
];

function conv(g: Words, x: Value, out: number, size: number, name: string): Value {
  const weight = g.weight(`${name}.weight`, "f32", [out, x.shape[1]!, size, size]);
  return g.conv2d(x, weight, g.weight(`${name}.bias`, "f32", [out]), { padding: (size - 1) / 2 });
}

function normed(g: Words, x: Value, name: string): Value {
  const channels = x.shape[1]!;
  const [weight, bias] = ["weight", "bias"].map((what) => g.weight(`${name}.${what}`, "f32", [channels])) as [Value, Value]; // prettier-ignore
  return g.silu(g.groupNorm(x, weight, bias, 8, 1e-6));
}

const IMAGE_BLOCKS: readonly Block[] = [
  (g, x, _draw, name) => {
    const inner = conv(g, normed(g, x, `${name}.norm1`), x.shape[1]!, 3, `${name}.conv1`);
    return g.add(x, conv(g, normed(g, inner, `${name}.norm2`), x.shape[1]!, 3, `${name}.conv2`));
  },
  (g, x, draw, name) => conv(g, normed(g, x, `${name}.norm`), 8 * (1 + draw(6)), 3, `${name}.conv`),
  (g, x, draw, name) => conv(g, x, 8 * (1 + draw(6)), 1, `${name}.conv`),
  (g, x, _draw, name) => conv(g, x.shape[2]! < 40 ? g.upsampleNearest(x, 2) : x, x.shape[1]!, 3, `${name}.conv`),
];

/** A graph of `blocks` blocks. */
export function randomGraph(seed: number, blocks = 6): Graph {
  let count = 0;
  const draw: Draw = (below) => Math.floor((philox(seed, count++, 5)[0] / 2 ** 32) * below);
  const g = new Words(`random ${seed}`);
  const isImage = seed % 2 === 1;
  const size = 10 + draw(20);
  let x = isImage
    ? g.input("x", "f32", [1, 8 * (1 + draw(6)), size, size])
    : g.input("x", "f32", [1, 20 + draw(200), 32 * (1 + draw(8))]);
  const kinds = isImage ? IMAGE_BLOCKS : TOKEN_BLOCKS;
  for (let n = 0; n < blocks; n++) x = kinds[draw(kinds.length)]!(g, x, draw, `b${n}`);
  return g.finish({ y: x });
}
