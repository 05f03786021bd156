// Convolutions against their definition: sizes, strides, paddings, upsampling, memory orders.
import { test } from "node:test";
import { conv, type ConvOptions } from "./conv.js";
import { check, fill, get, random, zeros } from "./harness.js";
import { sigmoid, sum } from "./reference.js";

const [B, H, W, C, O] = [2, 5, 6, 3, 4];
const blocks = [
  { OY: 2, OX: 4, O: 3, C: 2 },
  { OY: 3, OX: 1, O: 2 },
];

function compare(
  taps: number,
  out: readonly [number, number],
  options: ConvOptions,
  dtype: "f32" | "bf16" = "f32",
): void {
  const { stride = 1, padding = 0, upsample = 1 } = options;
  const [x, w, bias] = [random(dtype, [B, H, W, C], 1), random(dtype, [O, taps, taps, C], 2), random(dtype, [O], 3)];
  const source = (p: number, limit: number): number => (p < 0 || p >= limit * upsample ? -1 : Math.floor(p / upsample));
  const expected = fill([B, ...out, O], (b, oy, ox, o) => {
    const total = sum(taps, (ky) => sum(taps, (kx) => sum(C, (c) =>
      get(x, b, source(oy * stride + ky - padding, H), source(ox * stride + kx - padding, W), c) * get(w, o, ky, kx, c)))); // prettier-ignore
    const biased = total + (options.bias ? get(bias, o) : 0);
    return options.activation === "silu" ? biased * sigmoid(biased) : biased;
  });
  const y = zeros(B, ...out, O);
  check({
    kernel: conv(dtype, options),
    tensors: { x, w, y, ...(options.bias && { bias }) },
    blocks,
    expected: { y: expected },
  });
}

test("a 3×3 convolution with zero padding keeps the picture's size", () =>
  compare(3, [H, W], { padding: 1, bias: true, activation: "silu" }));
test("a 3×3 convolution without padding loses a pixel on each side, in bf16 too", () => {
  compare(3, [H - 2, W - 2], {});
  compare(3, [H - 2, W - 2], { bias: true }, "bf16");
});
test("a strided convolution padded only below and right halves the picture, as VAE encoders do", () =>
  compare(3, [3, 3], { stride: 2 }));
test("a strided convolution with padding on all sides agrees", () => compare(3, [3, 3], { stride: 2, padding: 1 }));
test("nearest upsampling happens while the convolution reads", () =>
  compare(3, [2 * H, 2 * W], { upsample: 2, padding: 1, bias: true }));
test("a 1×1 convolution is a product", () => compare(1, [H, W], { bias: true }));

test("channels-first pictures are the same text with other strides", () => {
  const [chw, w] = [random("f32", [B, C, H, W], 1), random("f32", [O, C, 3, 3], 2)];
  const x = { data: chw.data, shape: [B, H, W, C], strides: [C * H * W, W, 1, H * W] };
  const taps = { data: w.data, shape: [O, 3, 3, C], strides: [C * 9, 3, 1, 9] };
  const expected = fill([B, H, W, O], (b, y, xx, o) =>
    sum(3, (ky) => sum(3, (kx) => sum(C, (c) => get(chw, b, c, y + ky - 1, xx + kx - 1) * get(w, o, c, ky, kx)))));
  check({ kernel: conv("f32", { padding: 1 }), tensors: { x, w: taps, y: zeros(B, H, W, O) }, blocks, expected: { y: expected } });
}); // prettier-ignore
