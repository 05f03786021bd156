// The paged key-value cache as a state: P pages of S slots; a table per sequence says which pages hold its tokens.
// Token n of sequence b lies in slot n mod S of page pages[b, ⌊n / S⌋]. A negative page is none: writes to it vanish.
import { sizeOf } from "../../core/shape.js";
import { type Op, type RefTensor } from "../op.js";
import type { TensorType } from "../node.js";
import { attendAt, attendInto, visible, type Query } from "./attention.js";
import { expect, expectCount, expectDType, expectFloat, expectRank, expectShape } from "./fit.js";
import { evaluated, exact } from "./tolerance.js";

/** The slot of token `n` of sequence `b`, counted over all pages; undefined where the sequence has no page for it. */
function slotOf(pages: RefTensor, S: number, b: number, n: number): number | undefined {
  const most = pages.shape[1]!;
  const page = n >= 0 && n < most * S ? pages.data[b * most + Math.floor(n / S)]! : -1;
  return page < 0 ? undefined : page * S + (n % S);
}

function expectTables(op: string, inputs: readonly TensorType[], pages: number, B: number): void {
  expectDType(op, inputs, pages, "i32");
  expectRank(op, inputs, pages, 2);
  expectShape(op, inputs, pages, [B, inputs[pages]!.shape[1]!], "the page table");
  expectDType(op, inputs, pages + 1, "i32");
  expectShape(op, inputs, pages + 1, [B], "the lengths");
}

/**
 * cache[P, S, G, D], x[B, T, G, D], pages i32[B, pages], lengths i32[B] → the cache, written in place: token t of x
 * becomes token lengths[b] + t of sequence b. `lengths` counts the tokens there before.
 */
export const pageAppend: Op<Record<string, never>> = {
  name: "page_append",
  traits: ["state"],
  infer: (_params, inputs) => {
    expectCount("page_append", inputs, 4);
    expectFloat("page_append", inputs, [0, 1]);
    for (const i of [0, 1]) expectRank("page_append", inputs, i, 4);
    const [cache, x] = inputs as [TensorType, TensorType];
    const [B, T] = x.shape as [number, number];
    expectShape("page_append", inputs, 1, [B, T, cache.shape[2]!, cache.shape[3]!], "x");
    expectTables("page_append", inputs, 2, B);
    return [cache];
  },
  referenceAt: (_params, [cache, x, pages, lengths], _output, [p, s, g, d]) => {
    const [, S, G, D] = cache!.shape as [number, number, number, number];
    const [B, T] = x!.shape as [number, number];
    for (let b = B - 1; b >= 0; b--)
      for (let t = T - 1; t >= 0; t--)
        if (slotOf(pages!, S, b, lengths!.data[b]! + t) === p! * S + s!)
          return x!.data[((b * T + t) * G + g!) * D + d!]!;
    return cache!.data[((p! * S + s!) * G + g!) * D + d!]!;
  },
  reference: (_params, [cache, x, pages, lengths]) => {
    const [P, S, G, D] = cache!.shape as [number, number, number, number];
    const [B, T] = x!.shape as [number, number];
    const out = Float64Array.from(cache!.data);
    for (let b = 0; b < B; b++)
      for (let t = 0; t < T; t++) {
        const slot = slotOf(pages!, S, b, lengths!.data[b]! + t);
        const from = (b * T + t) * G * D;
        if (slot !== undefined && slot < P * S) out.set(x!.data.subarray(from, from + G * D), slot * G * D);
      }
    return [out];
  },
  flops: () => 0,
  tolerance: exact,
  sample: (_params, [cache, x, pages], input, uniform) =>
    input === 2
      ? pageTable(cache!, pages!, uniform)
      : input === 3
        ? lengths(x!.shape[0]!, 0, mostTokens(cache!, pages!) - x!.shape[1]!, uniform)
        : undefined,
  mutates: () => [{ output: 0, input: 0 }],
};

/**
 * q[B, T, H, D], keys[P, S, G, D], values[P, S, G, D], pages i32[B, pages], lengths i32[B] → [B, T, H, D]. `lengths`
 * counts the tokens of each sequence with the T new ones, the last of which is the last query. Result 0 for a query
 * that sees no token.
 */
export const pagedAttention: Op<{ scale: number; causal: boolean }> = {
  name: "paged_attention",
  traits: [],
  infer: (_params, inputs) => {
    expectCount("paged_attention", inputs, 5);
    const dtype = expectFloat("paged_attention", inputs, [0, 1, 2]);
    for (const i of [0, 1, 2]) expectRank("paged_attention", inputs, i, 4);
    const [q, keys] = inputs as [TensorType, TensorType];
    const [B, , H, D] = q.shape as [number, number, number, number];
    const [P, S, G] = keys.shape as [number, number, number];
    expectShape("paged_attention", inputs, 1, [P, S, G, D], "the key cache");
    expectShape("paged_attention", inputs, 2, [P, S, G, D], "the value cache");
    expect(H % G === 0, "paged_attention", inputs, `${H} query heads are no multiple of ${G} key heads`);
    expectTables("paged_attention", inputs, 3, B);
    return [{ dtype, shape: q.shape }];
  },
  referenceAt: (params, inputs, _output, [b, t, h, d]) => attendAt(queryOf(params, inputs, b!, t!, h!), d!),
  reference: (params, inputs, [type]) => {
    const [B, T, H, D] = type!.shape as [number, number, number, number];
    const out = new Float64Array(sizeOf(type!.shape));
    let to = 0;
    for (let b = 0; b < B; b++)
      for (let t = 0; t < T; t++)
        for (let h = 0; h < H; h++, to += D) attendInto(queryOf(params, inputs, b, t, h), out, to);
    return [out];
  },
  // As if every sequence filled its pages: the lengths are known to the run only.
  flops: (_params, [q, keys, , pages]) => {
    const [B, T, H, D] = q!.shape as [number, number, number, number];
    return B * T * H * pages!.shape[1]! * keys!.shape[1]! * (4 * D + 4);
  },
  tolerance: (_params, [q, keys, , pages], dtype) =>
    evaluated(dtype, pages!.shape[1]! * keys!.shape[1]! + q!.shape[3]!, 64, 1.5),
  sample: (_params, [q, keys, , pages], input, uniform) =>
    input === 3
      ? pageTable(keys!, pages!, uniform)
      : input === 4
        ? lengths(q!.shape[0]!, q!.shape[1]!, mostTokens(keys!, pages!), uniform)
        : undefined,
};

/** Tokens that every sequence has pages for, when the pages are dealt out evenly. */
const mostTokens = (cache: TensorType, pages: TensorType): number =>
  Math.min(pages.shape[1]!, Math.floor(cache.shape[0]! / pages.shape[0]!)) * cache.shape[1]!;

/** A page table in which no page serves two sequences, in random order; -1 where pages run out. */
function pageTable(cache: TensorType, { shape }: TensorType, uniform: () => number): readonly number[] {
  const [B, most] = shape as [number, number];
  const each = Math.min(most, Math.floor(cache.shape[0]! / B));
  const order = Array.from({ length: cache.shape[0]! }, (_, page) => ({ page, key: uniform() })).sort(
    (a, b) => a.key - b.key,
  );
  return Array.from({ length: B * most }, (_, i) =>
    i % most < each ? order[Math.floor(i / most) * each + (i % most)]!.page : -1,
  );
}

/** Random lengths from `least` to `most`. */
const lengths = (count: number, least: number, most: number, uniform: () => number): readonly number[] =>
  Array.from({ length: count }, () => least + Math.floor(uniform() * (Math.max(least, most) - least + 1)));

function queryOf(
  { scale, causal }: { readonly scale: number; readonly causal: boolean },
  inputs: readonly RefTensor[],
  b: number,
  t: number,
  h: number,
): Query {
  const [q, keys, values, pages, lengths] = inputs as [RefTensor, RefTensor, RefTensor, RefTensor, RefTensor];
  const [, T, H, D] = q.shape as [number, number, number, number];
  const [, S, G] = keys.shape as [number, number, number];
  const group = Math.floor((h * G) / H);
  const length = lengths.data[b]!;
  return {
    q: q.data,
    k: keys.data,
    v: values.data,
    at: ((b * T + t) * H + h) * D,
    D,
    count: visible(causal, t, T, length),
    scale,
    place: (l) => ((slotOf(pages, S, b, l) ?? Number.NaN) * G + group) * D,
  };
}
