import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { DType } from "../../core/dtype.js";
import { regionOfBuild, target, tryCases, tryRegion, type Build } from "../native/tryout.fixture.js";
import { isCannot, type Provider } from "../provider.js";
import { factory } from "./provider.js";

const opened = await factory.open(target);
const skip = isCannot(opened) ? opened.cannot : false;
const provider = opened as Provider;

const why = (build: Build, dtype: DType = "f32"): string => {
  const answer = provider.candidates(regionOfBuild(build, { dtype }), "full");
  return isCannot(answer) ? answer.cannot : "it is computed";
};

describe("libxsmm provider", { skip }, () => {
  const cases: Readonly<Record<string, Build>> = {
    "all blocks whole and last": (g, x, w) => g.linear(x([2, 50, 300]), w([70, 300]), w([70])),
    "one row, one column, two terms": (g, x, w) => g.linear(x([1, 2]), w([1, 2]), w([1])),
    "a residual": (g, x, w) => g.add(x([9, 16]), g.linear(x([9, 24]), w([16, 24]))),
    "a product with a transposed right side": (g, x) => g.matmul(x([2, 3, 5, 16]), x([2, 3, 70, 16]), { transposeB: true }),
    "a plain product": (g, x) => g.matmul(x([4, 5, 16]), x([4, 16, 70])),
    "a product of windows": (g, x) => g.matmul(g.slice(x([4, 5, 30]), 2, 3, 16), g.slice(x([4, 20, 7]), 1, 2, 16)),
  }; // prettier-ignore
  for (const [name, build] of Object.entries(cases))
    for (const dtype of ["f32", "bf16"] as const)
      it(`${name} agrees with the reference in ${dtype}`, async () => {
        assert.ok((await tryRegion(provider, regionOfBuild(build, { dtype }))).length > 0);
      });

  it("a 1×1 convolution and residual, layouts given and free", async () => {
    const build: Build = (g, x, w) => g.add(g.conv2d(x([2, 16, 6, 5]), w([8, 16, 1, 1]), w([8])), x([2, 8, 6, 5]));
    assert.ok((await tryRegion(provider, regionOfBuild(build))).every((id) => id.startsWith("packed") === false));
    assert.ok(
      (await tryRegion(provider, regionOfBuild(build, { free: true }))).some((id) => id.startsWith("packed nhwc")),
    );
  });

  it("what its kernels cannot do is refused with the reason", () => {
    assert.match(
      why((g, x, w) => g.linear(x([4, 7]), w([3, 7])), "bf16"),
      /in pairs of terms, and 7 is odd/,
    );
    assert.match(
      why((g, x, w) => g.linear(x([4, 8]), w([3, 8])), "f16"),
      /multiplies f32 or bf16 here, not f16/,
    );
    assert.match(
      why((g, x, w) => g.mul(g.linear(x([4, 8]), w([3, 8])), 0.5)),
      /libxsmm's kernels scale nothing/,
    );
    assert.match(
      why((g, x, w) => g.add(x([9, 16]), g.linear(x([9, 24]), w([16, 24]), w([16]))), "bf16"),
      /would be rounded/,
    );
    assert.match(
      why((g, x) => g.softmax(x([4, 8]))),
      /libxsmm has products only, no softmax/,
    );
    assert.match(
      why((g, x, w) => g.conv2d(x([1, 4, 6, 5]), w([8, 4, 3, 3]), w([8]))),
      /1×1 windows only/,
    );
  });

  it("leaves the environment as it was", () => {
    assert.equal(process.env.OMP_PROC_BIND, undefined);
    assert.match(provider.version, /^1\.17 for \w+$/);
  });

  it("every case that it takes agrees with the reference", async () => {
    for (const dtype of ["f32", "bf16"] as const) assert.ok((await tryCases(provider, dtype)) > 5);
  });
});
