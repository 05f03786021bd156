// Group norm of images that lie with their channels last: sums by channel, joined by group, in every width of vectors.
import assert from "node:assert/strict";
import test from "node:test";
import { findCompiler } from "../../device/cpu/compile.js";
import { graphOf, regionOf, target, tryCandidate } from "../native/tryout.fixture.js";
import { isCannot } from "../provider.js";
import { factory } from "./provider.js";

const compiler = await findCompiler();
const skip = "cannot" in compiler ? compiler.cannot : false;

for (const vectorBytes of [64, 32] as const)
  for (const dtype of ["f32", "bf16"] as const)
    test(
      `channels last in ${dtype}, vectors of ${vectorBytes} bytes, with an activation behind`,
      { skip },
      async () => {
        const isa = { ...target.isa, vectorBytes: Math.min(vectorBytes, target.isa.vectorBytes) };
        const provider = await factory.open({ ...target, isa, threads: 2 });
        assert.ok(!isCannot(provider));
        const graph = graphOf((g) => {
          // 3 groups of 4 channels, lines that neither blocks nor parts divide.
          const image = g.silu(g.input("image", dtype, [2, 12, 19, 5]));
          const normed = g.groupNorm(image, g.weight("w", dtype, [12]), g.weight("b", dtype, [12]), 3, 1e-6);
          return g.silu(g.add(g.silu(normed), image));
        });
        const region = regionOf(graph, graph.nodes.slice(1, 3).map(({ id }) => id)); // prettier-ignore
        const answer = provider.candidates(region, "full");
        assert.ok(!isCannot(answer));
        const turned = answer.filter(({ layouts }) => layouts.inputs[0] !== undefined);
        assert.equal(turned.length, 1);
        await tryCandidate(region, turned[0]!, 11);
      },
    );
