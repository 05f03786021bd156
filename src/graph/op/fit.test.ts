// What does not fit is refused with the op, its operands and the reason.
import assert from "node:assert/strict";
import test from "node:test";
import { TroupeError } from "../../core/error.js";
import type { Params, TensorType } from "../node.js";
import { ops } from "../ops.js";

/** `f32 2 3` → f32[2, 3]. */
const type = (text: string): TensorType => {
  const [dtype, ...shape] = text.split(" ");
  return { dtype: dtype as TensorType["dtype"], shape: shape.map(Number) };
};

const WRONG: readonly (readonly [op: string, params: Params, inputs: string, why: RegExp])[] = [
  ["linear", {}, "f32 2 3, f32 4 5", /last dim of x must be 5/],
  ["linear", {}, "f32 2 3, bf16 4 3", /input 1 must be f32 as input 0 is; cast/],
  ["linear", {}, "i32 2 3, i32 4 3", /input 0 must be of a float dtype/],
  ["linear", {}, "f32 2 3, f32 4 3, f32 3", /the bias must be \[4\]/],
  ["linear", {}, "f32 2 3", /takes 2 to 3 inputs/],
  ["linear", {}, "f32 0 3, f32 4 3", /input 0 has an empty dim/],
  ["matmul", { transposeB: false }, "f32 2 3 4, f32 3 4 5", /leading dims/],
  ["matmul", { transposeB: true }, "f32 3 4, f32 4 5", /a sums over 4 elements, b over 5/],
  ["attention", { scale: 1, causal: false }, "f32 1 2 4 8, f32 1 3 3 8, f32 1 3 3 8", /4 query heads/],
  ["attention", { scale: 1, causal: false }, "f32 1 2 4 8, f32 1 3 4 8, f32 1 2 4 8", /v must be \[1, 3, 4, 8\]/],
  ["attention", { scale: 1, causal: true }, "f32 1 4 1 8, f32 1 3 1 8, f32 1 3 1 8", /as many keys as queries, 3 < 4/],
  ["attention", { scale: 1, causal: false }, "f32 1 2 1 8, f32 1 3 1 8, f32 1 3 1 8, f32 1 3 2", /bias must be \[1, 2, 3\]/],
  ["rms_norm", { eps: 0 }, "f32 2 3, f32 2", /the weight must be \[3\]/],
  ["layer_norm", { eps: 0 }, "f32 2 3, f32 3", /weight and bias together/],
  ["group_norm", { groups: 4, eps: 0 }, "f32 1 6 2 2, f32 6, f32 6", /6 channels make no 4 equal groups/],
  ["add", {}, "f32 2 3, f32 2", /do not broadcast/],
  ["add", {}, "f32 2, i32 2", /one dtype; cast/],
  ["div", {}, "i32 2, i32 2", /no meaning for i32/],
  ["exp", {}, "i32 2", /float dtype/],
  ["cast", { to: "i32" }, "f32 2", /floats do not become i32/],
  ["rope", { style: "half" }, "f32 1 2 1 3, f32 2 1, f32 2 1", /head width must be even/],
  ["rope", { style: "half" }, "bf16 1 2 1 4, bf16 2 2, bf16 2 2", /input 1 must be f32/],
  ["rope", { style: "whole" }, "f32 1 2 1 4, f32 2 2, f32 2 2", /has no style whole/],
  ["conv2d", { stride: 1, padding: [0, 0, 0, 0] }, "f32 1 3 4 4, f32 8 4 3 3", /x has 3 channels, w reads 4/],
  ["conv2d", { stride: 1, padding: [0, 0, 0, 0] }, "f32 1 3 2 4, f32 8 3 3 3", /larger than the padded image, 2 × 4/],
  ["conv2d", { stride: 0, padding: [0, 0, 0, 0] }, "f32 1 3 4 4, f32 8 3 3 3", /has no stride 0/],
  ["upsample_nearest", { factor: 1.5 }, "f32 1 1 2 2", /has no factor 1.5/],
  ["embedding", {}, "i64 3, f32 5 2", /input 0 must be i32/],
  ["take_row", {}, "f32 2 3 4, i32 3", /the index must be \[2\]/],
  ["select", {}, "f32 3, i32 1", /at least 2 dims/],
  ["sinusoid", { width: 3, maxPeriod: 1, scale: 1 }, "f32 1", /width 3 must be even/],
  ["random_normal", { shape: [2], stream: -1 }, "i64 1", /has no stream -1/],
  ["page_append", {}, "f32 4 2 1 8, f32 2 1 2 8, i32 2 3, i32 2", /x must be \[2, 1, 1, 8\]/],
  ["page_append", {}, "f32 4 2 1 8, f32 2 1 1 8, i32 3 3, i32 2", /the page table must be \[2, 3\]/],
  ["paged_attention", { scale: 1, causal: true }, "f32 2 1 1 8, f32 4 2 1 8, f32 4 2 1 8, i32 2 3, i32 3", /lengths must be \[2\]/],
  ["reshape", { shape: [4] }, "f32 2 3", /other elements than \[4\]/],
  ["transpose", { order: [0, 0] }, "f32 2 3", /no permutation/],
  ["slice", { axis: 1, start: 2, length: 2 }, "f32 2 3", /dim 1 has no positions 2 … 4/],
  ["concat", { axis: 1 }, "f32 2 3, f32 3 3", /differ outside dim 1/],
  ["concat", { axis: 2 }, "f32 2 3, f32 2 3", /no dim 2/],
]; // prettier-ignore

for (const [name, params, inputs, why] of WRONG)
  test(`${name}(${inputs}) is refused: ${why.source}`, () => {
    const types = inputs.split(", ").map(type);
    const shown = types.map((t) => `${t.dtype}[${t.shape.join(", ")}]`).join(", ");
    assert.throws(
      () => ops.get(name)!.infer(params, types),
      (error) => {
        assert.ok(error instanceof TroupeError && error.code === "shape", String(error));
        assert.ok(error.message.startsWith(`${name}(${shown}): `), error.message);
        assert.match(error.message, why);
        return true;
      },
    );
  });
