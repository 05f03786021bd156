import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { DType } from "../../core/dtype.js";
import { Regions } from "../../graph/region.js";
import type { Value } from "../../graph/node.js";
import type { Words } from "../../graph/words.js";
import { graphOf, regionOf, target, tryCases, tryRegion } from "../native/tryout.fixture.js";
import { isCannot, type Provider } from "../provider.js";
import { factory } from "./provider.js";

const opened = await factory.open(target);
const skip = isCannot(opened) ? opened.cannot : false;
const provider = opened as Provider;
/** Version 2 computes bf16 with AVX-512 only; elsewhere it copies and casts it. */
const withoutBf16 = target.isa.name.startsWith("avx512") ? false : "oneDNN 2 has no bf16 products on this CPU";

type Build = (g: Words, x: (shape: readonly number[]) => Value, w: (shape: readonly number[]) => Value) => Value;

/** Builds with activations x(shape) and weights w(shape) of one dtype; results pass through a last op outside. */
function region(dtype: DType, build: Build) {
  let count = 0;
  const graph = graphOf((g) =>
    build(
      g,
      (shape) => g.input(`x${count++}`, dtype, shape),
      (shape) => g.weight(`w${count++}`, dtype, shape),
    ),
  );
  return regionOf(graph);
}

/** The same with all activations made inside the graph, so that layouts are free; the region leaves those ops out. */
function freeRegion(dtype: DType, build: Build) {
  let count = 0;
  const graph = graphOf((g) => {
    const x = (shape: readonly number[]): Value => g.neg(g.input(`x${count++}`, dtype, shape));
    return g.neg(build(g, x, (shape) => g.weight(`w${count++}`, dtype, shape)));
  });
  const ids = graph.nodes.filter(({ op }) => op !== "neg").map(({ id }) => id);
  return regionOf(graph, ids);
}

describe("oneDNN provider", { skip }, () => {
  for (const dtype of ["f32", "bf16"] as const) {
    describe(dtype, { skip: dtype === "bf16" && withoutBf16 }, () => {
      const cases: Readonly<Record<string, Build>> = {
        "linear layers": (g, x, w) => g.linear(x([2, 9, 24]), w([40, 24]), w([40])),
        "a linear layer of one row, one column, one term": (g, x, w) => g.linear(x([1, 1]), w([1, 1]), w([1])),
        "linear layers without bias": (g, x, w) => g.linear(x([17, 31]), w([13, 31])),
        "linear, bias, GELU": (g, x, w) => g.geluTanh(g.linear(x([5, 24]), w([40, 24]), w([40]))),
        "linear, bias, SiLU": (g, x, w) => g.silu(g.linear(x([5, 24]), w([40, 24]), w([40]))),
        "linear, gate, residual": (g, x, w) =>
          g.add(x([1, 9, 32]), g.mul(x([1, 1, 32]), g.linear(x([1, 9, 24]), w([32, 24]), w([32])))),
        "linear, gate of each batch entry, residual": (g, x, w) =>
          g.add(x([2, 9, 32]), g.mul(x([2, 1, 32]), g.linear(x([2, 9, 24]), w([32, 24]), w([32])))),
        "linear, scale, offset": (g, x, w) => g.add(g.mul(g.linear(x([3, 8]), w([8, 8])), 0.5), 0.25),
        "a product with a transposed right side": (g, x) => g.matmul(x([2, 3, 5, 16]), x([2, 3, 7, 16]), { transposeB: true }),
        "a plain product": (g, x) => g.matmul(x([4, 5, 16]), x([4, 16, 7])),
        softmax: (g, x) => g.softmax(x([2, 3, 19])),
        "layer norm": (g, x) => g.layerNorm(x([2, 3, 48]), undefined, 1e-6),
        "layer norm with weights": (g, x, w) => g.layerNorm(x([6, 48]), { w: w([48]), b: w([48]) }, 1e-5),
        "pointwise sum and product": (g, x) => g.mul(g.add(x([3, 4, 8]), x([3, 4, 8])), x([3, 4, 8])),
        "modulation by rows": (g, x) => g.add(g.mul(x([1, 6, 16]), x([1, 1, 16])), x([1, 1, 16])),
        "functions in place": (g, x) => g.geluTanh(x([6, 16])),
        "a function of a strided window": (g, x) => g.tanh(g.slice(x([4, 6, 16]), 1, 2, 3)),
        "linear with two affine functions around another": (g, x, w) => g.neg(g.tanh(g.neg(g.linear(x([3, 8]), w([8, 8]))))),
        "attention": (g, x) => g.attention(x([2, 9, 4, 16]), x([2, 11, 4, 16]), x([2, 11, 4, 16])),
        "attention with a causal mask": (g, x) => g.attention(x([1, 9, 2, 16]), x([1, 11, 2, 16]), x([1, 11, 2, 16]), { causal: true, scale: 0.3 }),
        "attention with grouped heads": (g, x) => g.attention(x([1, 9, 4, 16]), x([1, 11, 2, 16]), x([1, 11, 2, 16])),
        "upsampling": (g, x) => g.upsampleNearest(x([1, 3, 4, 5]), 2),
        "convolution": (g, x, w) => g.conv2d(x([1, 16, 9, 8]), w([24, 16, 3, 3]), w([24]), { padding: 1 }),
        "convolution, strided, padded at the end": (g, x, w) => g.conv2d(x([2, 5, 9, 8]), w([7, 5, 3, 3]), w([7]), { stride: 2, padding: [0, 0, 1, 1] }),
        "1×1 convolution": (g, x, w) => g.conv2d(x([1, 16, 6, 5]), w([8, 16, 1, 1]), w([8])),
        "convolution and residual": (g, x, w) => g.add(g.conv2d(x([1, 16, 6, 5]), w([16, 16, 3, 3]), w([16]), { padding: 1 }), x([1, 16, 6, 5])),
      }; // prettier-ignore
      for (const [name, build] of Object.entries(cases)) {
        it(`${name} agrees with the reference`, async () => {
          assert.ok((await tryRegion(provider, region(dtype, build))).length > 0);
        });
      }

      it("attention with an added bias agrees with the reference", async () => {
        const made = region(dtype, (g, x) => {
          return g.attention(x([1, 5, 2, 16]), x([1, 7, 2, 16]), x([1, 7, 2, 16]), { bias: x([2, 5, 7]) });
        });
        await tryRegion(provider, made);
        const turned = region(dtype, (g, x) => {
          const bias = g.transpose(x([5, 7, 2]), [2, 0, 1]);
          return g.attention(x([1, 5, 2, 16]), x([1, 7, 2, 16]), x([1, 7, 2, 16]), { bias });
        });
        await tryRegion(provider, turned);
      });

      it("functions, sums and upsampling of free images are offered channels last", async () => {
        const image = (g: Words, x: (shape: readonly number[]) => Value): Value => g.add(x([1, 5, 4, 3]), x([1, 5, 4, 3])); // prettier-ignore
        assert.deepEqual(await tryRegion(provider, freeRegion(dtype, image)), ["binary", "binary nhwc"]);
        const silu = freeRegion(dtype, (g, x) => g.silu(x([1, 5, 4, 3])));
        assert.deepEqual(await tryRegion(provider, silu), ["eltwise", "eltwise nhwc"]);
        const up = freeRegion(dtype, (g, x) => g.upsampleNearest(x([1, 16, 4, 3]), 2));
        assert.deepEqual(await tryRegion(provider, up), ["resampling", "resampling nhwc"]);
      });

      it("convolutions offer every layout where operands are free, a residual in place too", async () => {
        const sum: Build = (g, x, w) =>
          g.add(g.conv2d(x([1, 16, 6, 5]), w([16, 16, 3, 3]), w([16]), { padding: 1 }), x([1, 16, 6, 5]));
        const ids = await tryRegion(provider, freeRegion(dtype, sum));
        for (const id of ["conv nchw→nchw", "conv nhwc→nhwc", "conv nhwc→nhwc sum"])
          assert.ok(ids.includes(id), ids.join());
        const late: Build = (g, x, w) =>
          g.add(g.silu(g.conv2d(x([1, 16, 6, 5]), w([16, 16, 3, 3]), w([16]), { padding: 1 })), x([1, 16, 6, 5]));
        assert.ok((await tryRegion(provider, freeRegion(dtype, late))).includes("conv nhwc→nhwc"));
      });

      it("slices of a joint projection are read, and the joint result written, where they lie", async () => {
        const graph = graphOf((g) => {
          const qkv = g.linear(g.input("x", dtype, [1, 6, 16]), g.weight("w", dtype, [96, 16]));
          const [q, k, v] = g.split(g.reshape(qkv, [1, 6, 6, 16]), 2, [2, 2, 2]) as [Value, Value, Value];
          return g.concat([g.reshape(g.attention(q, k, v), [1, 6, 32]), g.linear(g.input("y", dtype, [1, 6, 8]), g.weight("v", dtype, [8, 8]))], 2);
        }); // prettier-ignore
        for (const node of graph.nodes.filter(({ op }) => op === "attention" || op === "linear")) {
          await tryRegion(provider, regionOf(graph, [node.id]));
        }
      });
    });
  }

  it("group norm and SiLU agree with the reference", async () => {
    await tryRegion(provider, region("f32", (g, x, w) => g.silu(g.groupNorm(x([2, 8, 5, 3]), w([8]), w([8]), 4, 1e-6)))); // prettier-ignore
  });

  for (const dtype of ["f32", "bf16"] as const) {
    it(`agrees with the reference on every case of every op that it takes (${dtype})`, async () => {
      const count = await tryCases(provider, dtype);
      assert.ok(count > (dtype === "bf16" && withoutBf16 ? 0 : 80), `${count} candidates`);
    });
  }

  it("says no to bf16 where the CPU has no instructions for it", { skip: !withoutBf16 && "this CPU has them" }, () => {
    const answer = provider.candidates(
      region("bf16", (g, x, w) => g.linear(x([9, 24]), w([40, 24]))),
      "full",
    );
    assert.match(
      isCannot(answer) ? answer.cannot : "offered",
      /^oneDNN 2\.\S+ has no matmul for these dtypes.* on this CPU/,
    );
  });

  it("casts and copies", async () => {
    await tryRegion(
      provider,
      region("f32", (g, x) => g.cast(x([5, 7]), "bf16")),
    );
    await tryRegion(
      provider,
      region("bf16", (g, x) => g.copy(g.transpose(x([5, 7]), [1, 0]))),
    );
  });

  it("packs equal weights alike, and names the layout", () => {
    const made = region("f32", (g, x, w) => g.linear(x([64, 64]), w([64, 64])));
    const candidates = provider.candidates(made, "full");
    assert.ok(!isCannot(candidates));
    assert.match(candidates[0]!.packs[0]!.recipe, /^dnnl:f32\[64, 64\] /);
    assert.equal(candidates[0]!.packs[0]!.bytes, 64 * 64 * 4);
  });

  it("proposes chains of a product and what follows, and not across a value that others need", () => {
    const graph = graphOf((g) => {
      const h = g.linear(g.input("x", "f32", [4, 8]), g.weight("w", "f32", [8, 8]));
      const a = g.geluTanh(h);
      return { a: g.add(g.silu(a), a) };
    });
    const names = [...provider.patterns(new Regions(graph))].map((ids) =>
      ids.map((id) => graph.nodes[id]!.op).join("+"),
    );
    assert.deepEqual(names, ["linear+gelu_tanh"]);
  });

  it("is for the CPU, and says so elsewhere", async () => {
    const answer = await factory.open({ ...target, device: "cuda" });
    assert.match(isCannot(answer) ? answer.cannot : "opened", /CPU only/);
  });

  it("says no with a reason", () => {
    const no = (build: Build, dtype: DType = "f32"): string => {
      const answer = provider.candidates(region(dtype, build), "full");
      return isCannot(answer) ? answer.cannot : "offered";
    };
    assert.match(
      no((g, x) => g.rmsNorm(x([2, 8]), undefined, 1e-6)),
      /^oneDNN 2\.\S+ has no rms_norm/,
    );
    assert.match(
      no((g, x) => g.neg(x([2, 8])), "f64"),
      /has no f64/,
    );
    assert.match(
      no((g, x) => g.rsqrt(g.softmax(x([2, 8])))),
      /softmax alone/,
    );
    assert.match(
      no((g, x, w) => g.softmax(g.linear(x([2, 8]), w([8, 8])))),
      /softmax is not pointwise/,
    );
  });
});
