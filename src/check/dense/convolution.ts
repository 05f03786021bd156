// Convolution in float64: by the engine where it has one, else as a product with windows of the input packed straight
// into panels, some pixels at a time.
import { sizeOf } from "../../core/shape.js";
import type { Params, TensorType } from "../../graph/node.js";
import type { RefTensor } from "../../graph/op.js";
import type { DenseKernel } from "./kernel.js";
import { packPanels, type Convolution, type Panels } from "./product.js";

/** Output pixels packed at a time; a multiple of every block size. */
const PIXELS = 384;

interface Geometry {
  readonly stride: number;
  readonly top: number;
  readonly left: number;
  readonly kernelHeight: number;
  readonly kernelWidth: number;
  readonly outputWidth: number;
}

/** x[B,C,H,W], w[O,C,kh,kw], (b[O]) → [B,O,H',W']. */
export const conv2d: DenseKernel = (params, [x, w, bias], [y], engine) => {
  const [batches, outChannels, outHeight, outWidth] = y!.shape as [number, number, number, number];
  const [, channels, kernelHeight, kernelWidth] = w!.shape as [number, number, number, number];
  const [top, left] = params.padding as readonly [number, number, number, number];
  const geometry = { stride: Number(params.stride), top, left, kernelHeight, kernelWidth, outputWidth: outWidth };
  const depth = channels * kernelHeight * kernelWidth;
  const pixels = outHeight * outWidth;
  const out = new Float64Array(sizeOf(y!.shape));
  const weights = engine.convolve
    ? undefined
    : packPanels(engine.columnBlock, w!.data, 0, outChannels, depth, depth, 1);
  for (let b = 0; b < batches; b++)
    if (!weights) engine.convolve!(jobOf(x!, w!, y!, b, params, out));
    else
      for (let first = 0; first < pixels; first += PIXELS) {
        const windows = packWindows(x!, b, first, Math.min(PIXELS, pixels - first), geometry, engine.rowBlock);
        const offset = b * outChannels * pixels + first;
        engine.multiply(windows, weights, { out, offset, rowStride: 1, columnStride: pixels });
      }
  if (bias)
    for (let b = 0; b < batches; b++)
      for (let o = 0; o < outChannels; o++) {
        const start = (b * outChannels + o) * pixels;
        for (let p = 0; p < pixels; p++) out[start + p]! += bias.data[o]!;
      }
  return [out];
};

function jobOf(
  x: RefTensor,
  w: RefTensor,
  y: TensorType,
  batch: number,
  params: Params,
  out: Float64Array,
): Convolution {
  const [, channels, height, width] = x.shape as [number, number, number, number];
  const [top, left, bottom, right] = params.padding as readonly [number, number, number, number];
  const shape = [channels, height + top + bottom, width + left + right] as const;
  const planes = new Float64Array(sizeOf(shape));
  for (let c = 0; c < channels; c++)
    for (let row = 0; row < height; row++) {
      const from = ((batch * channels + c) * height + row) * width;
      planes.set(x.data.subarray(from, from + width), (c * shape[1] + top + row) * shape[2] + left);
    }
  const [, outChannels, outHeight, outWidth] = y.shape as [number, number, number, number];
  const size = outChannels * outHeight * outWidth;
  return {
    planes,
    shape,
    taps: w.data,
    tapShape: w.shape as [number, number, number, number],
    stride: Number(params.stride),
    outputs: [outHeight, outWidth],
    out: out.subarray(batch * size, (batch + 1) * size),
  };
}

/** The windows of `count` output pixels from `first` on, as panels of depth channels × kernel height × kernel width. */
function packWindows(x: RefTensor, batch: number, first: number, count: number, g: Geometry, block: number): Panels {
  const [, channels, height, width] = x.shape as [number, number, number, number];
  const depth = channels * g.kernelHeight * g.kernelWidth;
  const data = new Float64Array(Math.ceil(count / block) * depth * block);
  for (let p = 0; p < count; p++) {
    const pixel = first + p;
    const row = Math.floor(pixel / g.outputWidth) * g.stride - g.top;
    const column = (pixel % g.outputWidth) * g.stride - g.left;
    let at = Math.floor(p / block) * depth * block + (p % block);
    for (let c = 0; c < channels; c++) {
      const plane = (batch * channels + c) * height;
      for (let i = 0; i < g.kernelHeight; i++) {
        const y = row + i;
        const inside = y >= 0 && y < height;
        const line = (plane + y) * width;
        for (let j = 0; j < g.kernelWidth; j++) {
          const z = column + j;
          if (inside && z >= 0 && z < width) data[at] = x.data[line + z]!;
          at += block;
        }
      }
    }
  }
  return { rows: count, depth, data };
}
