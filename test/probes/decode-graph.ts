// One attention layer that decodes from a paged cache: new keys and values are appended in place, queries attend to
// what is there, and a running summary, made by plain ops, ends elsewhere than it began.
import type { DType } from "../../src/core/dtype.js";
import type { Graph, Value } from "../../src/graph/node.js";
import { Words } from "../../src/graph/words.js";

export interface DecodeSizes {
  readonly dtype: DType;
  readonly sequences: number;
  /** New tokens of each sequence a run. */
  readonly tokens: number;
  readonly heads: number;
  readonly groups: number;
  readonly headDim: number;
  readonly pages: number;
  readonly slots: number;
  /** Most pages of one sequence. */
  readonly mostPages: number;
}

/**
 * Inputs: x [B, T, W], pages i32[B, most], before i32[B] and after i32[B], lengths without and with the new tokens.
 * Outputs: y [B, T, W] and, strided, the last token's half of it. States: keys and values [P, S, G, D], summary [B, W].
 */
export function decodeGraph(sizes: DecodeSizes): Graph {
  const { dtype, sequences: B, tokens: T, heads, groups, headDim: D } = sizes;
  const width = heads * D;
  const g = new Words("decode");
  const x = g.input("x", dtype, [B, T, width]);
  const pages = g.input("pages", "i32", [B, sizes.mostPages]);
  const before = g.input("before", "i32", [B]);
  const after = g.input("after", "i32", [B]);
  const cache = (name: string): Value => g.state(name, dtype, [sizes.pages, sizes.slots, groups, D]);
  const [keys, values] = [cache("keys"), cache("values")];
  const summary = g.state("summary", dtype, [B, width]);

  // Made first, so that everything after it has reason to reuse its memory.
  const last = g.reshape(g.slice(x, 1, T - 1, 1), [B, width]);
  g.becomes(summary, g.add(g.mul(summary, 0.5), last));

  const linear = (name: string, from: Value, out: number): Value =>
    g.linear(from, g.weight(`${name}.weight`, dtype, [out, from.shape.at(-1)!]), g.weight(`${name}.bias`, dtype, [out])); // prettier-ignore
  const normed = g.rmsNorm(x, g.weight("norm.weight", dtype, [width]), 1e-6);
  const q = g.reshape(linear("q", normed, width), [B, T, heads, D]);
  const [k, v] = ["k", "v"].map((name) => g.reshape(linear(name, normed, groups * D), [B, T, groups, D]));
  const newKeys = g.pageAppend(keys, k!, pages, before);
  const newValues = g.pageAppend(values, v!, pages, before);
  g.becomes(keys, newKeys);
  g.becomes(values, newValues);
  const mixed = g.pagedAttention(q, newKeys, newValues, pages, after, { causal: true });
  const y = g.add(x, linear("out", g.reshape(mixed, [B, T, width]), width));
  return g.finish({ y, half: g.slice(g.slice(y, 1, T - 1, 1), 2, 0, width / 2) });
}

/** A graph that reads the keys of before after they were overwritten. */
export function staleGraph(): Graph {
  const g = new Words("stale");
  const keys = g.state("keys", "f32", [2, 2, 1, 4]);
  const x = g.input("x", "f32", [1, 1, 1, 4]);
  const [pages, lengths] = [g.input("pages", "i32", [1, 2]), g.input("lengths", "i32", [1])];
  const now = g.pageAppend(keys, x, pages, lengths);
  g.becomes(keys, now);
  return g.finish({ y: g.pagedAttention(x, keys, now, pages, lengths) });
}
