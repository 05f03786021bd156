import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { DType } from "../../core/dtype.js";
import { Regions } from "../../graph/region.js";
import { graphOf, regionOfBuild, target, tryCases, tryRegion, type Build } from "../native/tryout.fixture.js";
import { isCannot, type Provider } from "../provider.js";
import { factory } from "./provider.js";

const opened = await factory.open(target);
const skip = isCannot(opened) ? opened.cannot : false;
const provider = opened as Provider;

describe("BLAS provider", { skip }, () => {
  const cases: Readonly<Record<string, Build>> = {
    "linear layers": (g, x, w) => g.linear(x([2, 9, 24]), w([40, 24]), w([40])),
    "a linear layer of one row, one column, one term": (g, x, w) => g.linear(x([1, 1]), w([1, 1]), w([1])),
    "a linear layer of one row": (g, x, w) => g.linear(x([1, 24]), w([40, 24]), w([40])),
    "linear layers without bias": (g, x, w) => g.linear(x([17, 31]), w([13, 31])),
    "a scaled linear layer": (g, x, w) => g.mul(g.linear(x([17, 31]), w([13, 31])), 0.125),
    "linear and residual": (g, x, w) => g.add(x([9, 16]), g.linear(x([9, 24]), w([16, 24]), w([16]))),
    "a product with a transposed right side": (g, x) => g.matmul(x([2, 3, 5, 16]), x([2, 3, 7, 16]), { transposeB: true }),
    "a plain product": (g, x) => g.matmul(x([4, 5, 16]), x([4, 16, 7])),
    "a product of windows": (g, x) => g.matmul(g.slice(x([4, 5, 30]), 2, 3, 16), g.slice(x([4, 20, 7]), 1, 2, 16)),
    "a 1×1 convolution": (g, x, w) => g.conv2d(x([2, 16, 6, 5]), w([8, 16, 1, 1]), w([8])),
    "a 1×1 convolution without bias": (g, x, w) => g.conv2d(x([1, 16, 6, 5]), w([8, 16, 1, 1]), undefined),
    "a 1×1 convolution and residual": (g, x, w) => g.add(g.conv2d(x([1, 16, 6, 5]), w([8, 16, 1, 1]), w([8])), x([1, 8, 6, 5])),
  }; // prettier-ignore
  for (const [name, build] of Object.entries(cases)) {
    it(`${name} agrees with the reference, layouts given and free`, async () => {
      assert.ok((await tryRegion(provider, regionOfBuild(build))).length > 0);
      assert.ok((await tryRegion(provider, regionOfBuild(build, { free: true }))).length > 0);
    });
  }

  it("offers each library, sgemv for one row only, channels last where layouts are free", async () => {
    const ids = await tryRegion(
      provider,
      regionOfBuild((g, x, w) => g.linear(x([1, 24]), w([40, 24]))),
    );
    for (const id of provider.version.includes("BLIS") ? ["blis sgemm", "blis sgemv"] : ["openblas sgemm"]) assert.ok(ids.includes(id)); // prettier-ignore
    const rows = await tryRegion(
      provider,
      regionOfBuild((g, x, w) => g.linear(x([2, 24]), w([40, 24]))),
    );
    assert.ok(!rows.some((id) => id.includes("sgemv")));
    const conv = await tryRegion(provider, regionOfBuild((g, x, w) => g.conv2d(x([1, 8, 3, 3]), w([8, 8, 1, 1]), w([8])), { free: true })); // prettier-ignore
    assert.ok(conv.some((id) => id.endsWith("nhwc")));
  });

  it("agrees with the reference on every case of every op that it takes", async () => {
    assert.ok((await tryCases(provider, "f32")) > 20);
    assert.equal(await tryCases(provider, "bf16"), 0);
  });

  it("proposes residuals with the product", () => {
    const graph = graphOf((g) => {
      const x = g.input("x", "f32", [4, 8]);
      return g.silu(g.add(g.linear(x, g.weight("w", "f32", [8, 8])), x));
    });
    const names = [...provider.patterns(new Regions(graph))].map((ids) =>
      ids.map((id) => graph.nodes[id]!.op).join("+"),
    );
    assert.deepEqual(names, ["linear+add"]);
  });

  it("is for the CPU, and says so elsewhere", async () => {
    const answer = await factory.open({ ...target, device: "cuda" });
    assert.match(isCannot(answer) ? answer.cannot : "opened", /CPU only/);
  });

  it("says no with a reason", () => {
    const no = (build: Build, dtype: DType = "f32"): string => {
      const answer = provider.candidates(regionOfBuild(build, { dtype }), "full");
      return isCannot(answer) ? answer.cannot : "offered";
    };
    assert.match(
      no((g, x, w) => g.linear(x([2, 8]), w([8, 8])), "bf16"),
      /multiplies f32 here, not bf16/,
    );
    assert.match(
      no((g, x, w) => g.geluTanh(g.linear(x([2, 8]), w([8, 8])))),
      /cannot apply gelu_tanh/,
    );
    assert.match(
      no((g, x) => g.softmax(x([2, 8]))),
      /products only, no softmax/,
    );
    assert.match(
      no((g, x) => g.attention(x([1, 4, 1, 8]), x([1, 4, 1, 8]), x([1, 4, 1, 8]))),
      /no softmax, which/,
    );
    assert.match(
      no((g, x, w) => g.conv2d(x([1, 8, 6, 6]), w([8, 8, 3, 3]), w([8]))),
      /1×1 windows only/,
    );
  });
});
