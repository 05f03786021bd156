import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { DType } from "../../core/dtype.js";
import type { Value } from "../../graph/node.js";
import { ops } from "../../graph/ops.js";
import { Regions } from "../../graph/region.js";
import type { Words } from "../../graph/words.js";
import { graphOf, regionOf, target, tryCases, tryRegion } from "../native/tryout.fixture.js";
import { isCannot, type Provider } from "../provider.js";
import { openOnnxRuntime } from "./library.js";
import { LOWERINGS } from "./lowering.js";
import { factory } from "./provider.js";

const opened = await factory.open(target);
const skip = isCannot(opened) ? opened.cannot : false;
const provider = opened as Provider;

type Build = (g: Words, x: (shape: readonly number[]) => Value, w: (shape: readonly number[]) => Value) => Value;

function region(build: Build, dtype: DType = "f32") {
  let count = 0;
  return regionOf(
    graphOf((g) =>
      build(
        g,
        (shape) => g.input(`x${count++}`, dtype, shape),
        (shape) => g.weight(`w${count++}`, dtype, shape),
      ),
    ),
  );
}

/** A transformer block with all that FLUX has in one: modulated norm, joint projection, RMS norm, rope, attention, gate. */
const block: Build = (g, x, w) => {
  const [T, H, D] = [6, 2, 8];
  const h = x([1, T, H * D]);
  const [shift, scale, gate] = [x([1, 1, H * D]), x([1, 1, H * D]), x([1, 1, H * D])];
  const normed = g.add(g.mul(g.layerNorm(h, undefined, 1e-6), g.add(scale, 1)), shift);
  const qkv = g.reshape(g.linear(normed, w([3 * H * D, H * D]), w([3 * H * D])), [1, T, 3 * H, D]);
  const [q, k, v] = g.split(qkv, 2, [H, H, H]) as [Value, Value, Value];
  const tables = [x([T, D / 2]), x([T, D / 2])] as const;
  const turned = [q, k].map((t) => g.rope(g.rmsNorm(t, w([D]), 1e-6), ...tables, "interleaved")) as [Value, Value];
  const attended = g.reshape(g.attention(...turned, v), [1, T, H * D]);
  const mlp = g.geluTanh(g.linear(normed, w([4 * H * D, H * D]), w([4 * H * D])));
  return g.add(h, g.mul(gate, g.linear(g.concat([attended, mlp], 2), w([H * D, 5 * H * D]), w([H * D]))));
};

describe("ONNX Runtime provider", { skip }, () => {
  it("has an answer for every op of the graph", () => {
    assert.deepEqual(
      [...ops.keys()].filter((op) => !(op in LOWERINGS)),
      [],
    );
  });

  it("agrees with the reference on every case of every op, and refuses only what ONNX has not", async () => {
    const refused = new Map<string, string>();
    assert.ok((await tryCases(provider, "f32", refused)) > 100);
    for (const [title, reason] of refused) {
      assert.match(title, /^(page_append|paged_attention|random_normal|linear_i8|cast):/, `${title}: ${reason}`);
    }
  });

  const cases: Readonly<Record<string, Build>> = {
    "a whole block": block,
    "views at the border and inside": (g, x, w) => g.transpose(g.silu(g.reshape(g.linear(g.transpose(x([8, 6]), [1, 0]), w([12, 8])), [6, 3, 4])), [2, 0, 1]),
    "group norm, SiLU, convolution, residual": (g, x, w) => {
      const h = x([1, 8, 6, 5]);
      return g.add(h, g.conv2d(g.silu(g.groupNorm(h, w([8]), w([8]), 4, 1e-6)), w([8, 8, 3, 3]), w([8]), { padding: 1 }));
    },
    "constants of the graph": (g, x) => g.mul(g.add(x([2, 3]), g.constant([1, 2, 3], "f32", [3])), g.constant([2], "f32", [1, 1])),
    "a feed-forward pair": (g, x, w) => g.linear(g.geluTanh(g.linear(x([1, 7, 8]), w([32, 8]), w([32]))), w([8, 32]), w([8])),
    "attention with grouped heads, mask and bias": (g, x) =>
      g.attention(x([1, 5, 4, 8]), x([1, 7, 2, 8]), x([1, 7, 2, 8]), { causal: true, bias: x([4, 5, 7]) }),
  }; // prettier-ignore
  for (const [name, build] of Object.entries(cases)) {
    it(`${name} agrees with the reference`, async () => {
      const ids = await tryRegion(provider, region(build));
      assert.ok(ids.includes("session"));
    });
  }

  it("offers a long model a pool of its own, and one that spins where there is more than one thread", () => {
    const pools = (of: typeof block): readonly unknown[] => {
      const answer = provider.candidates(region(of), "full");
      return isCannot(answer) ? [] : [...new Set(answer.map(({ params }) => params.pool))];
    };
    assert.deepEqual(pools(block), target.threads > 1 ? [undefined, "sleeps", "spins"] : [undefined, "sleeps"]);
    assert.deepEqual(pools((g, x, w) => g.linear(x([2, 8]), w([8, 8]))), [undefined]); // prettier-ignore
  });

  it("several results of one region are all written", async () => {
    const graph = graphOf((g) => {
      const h = g.linear(g.input("x", "f32", [4, 8]), g.weight("w", "f32", [8, 8]));
      return { a: g.silu(h), b: g.tanh(h) };
    });
    const whole = regionOf(graph);
    assert.equal(whole.outputs.length, 2);
    await tryRegion(provider, whole);
  });

  it("windows of joint tensors are read and written through copies", async () => {
    const graph = graphOf((g) => {
      const qkv = g.linear(g.input("x", "f32", [1, 6, 16]), g.weight("w", "f32", [96, 16]));
      const [q, k, v] = g.split(g.reshape(qkv, [1, 6, 6, 16]), 2, [2, 2, 2]) as [Value, Value, Value];
      return g.concat([g.reshape(g.attention(q, k, v), [1, 6, 32]), g.silu(g.input("y", "f32", [1, 6, 8]))], 2);
    });
    for (const node of graph.nodes.filter(({ op }) => op === "attention" || op === "silu")) {
      await tryRegion(provider, regionOf(graph, [node.id]));
    }
    await tryRegion(provider, regionOf(graph));
  });

  it("proposes the whole component first, then stretches, pairs and chains, each once", () => {
    const graph = graphOf((g) => {
      const x = g.input("x", "f32", [4, 8]);
      const w = (name: string, n: number, k: number): Value => g.weight(name, "f32", [n, k]);
      const h = g.add(x, g.linear(g.silu(g.linear(x, w("a", 16, 8))), w("b", 8, 16)));
      return g.add(h, g.linear(g.rmsNorm(h, undefined, 1e-6), w("c", 8, 8)));
    });
    const found = [...provider.patterns(new Regions(graph))].map((ids) =>
      ids.map((id) => graph.nodes[id]!.op).join("+"),
    );
    assert.equal(found[0], "linear+silu+linear+add+rms_norm+linear+add");
    for (const wanted of ["linear+silu+linear", "rms_norm+linear+add", "linear+silu", "linear+add"]) {
      assert.ok(found.includes(wanted), `${wanted} is not among ${found.join(", ")}`);
    }
  });

  it("is for the CPU, and says so elsewhere", async () => {
    const answer = await factory.open({ ...target, device: "cuda" });
    assert.match(isCannot(answer) ? answer.cannot : "opened", /CPU only/);
    const foreign = openOnnxRuntime(["libm.so.6"]);
    assert.match(
      isCannot(foreign) ? foreign.cannot : "opened",
      /ONNX Runtime cannot be loaded: .*no symbol OrtGetApiBase/,
    );
  });

  it("says no with a reason", () => {
    const no = (answer: ReturnType<Provider["candidates"]>): string => (isCannot(answer) ? answer.cannot : "offered");
    const linear: Build = (g, x, w) => g.linear(x([2, 8]), w([8, 8]));
    assert.match(no(provider.candidates(region(linear, "bf16"), "full")), /do not compute in bf16/);
    const graph = graphOf((g) => g.tanh(g.slice(g.input("x", "f32", [5000, 8]), 1, 2, 3)));
    assert.match(
      no(provider.candidates(regionOf(graph), "full")),
      /\[5000, 3\] with strides \[8, 1\] lies too scattered/,
    );
  });
});
