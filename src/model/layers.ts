// Layers as checkpoints name them: a module's name gives its tensors, the config its widths.
import type { DType } from "../core/dtype.js";
import type { Value } from "../graph/node.js";
import { Words } from "../graph/words.js";

export class Layers {
  readonly g: Words;
  /** Of weights and activations. */
  readonly dtype: DType;

  constructor(g: Words, dtype: DType) {
    this.g = g;
    this.dtype = dtype;
  }

  weight(name: string, shape: readonly number[]): Value {
    return this.g.weight(name, this.dtype, shape);
  }

  /** x[…, K] → […, `width`] by `name`.weight and, unless told otherwise, `name`.bias. */
  linear(name: string, x: Value, width: number, { bias = true } = {}): Value {
    const w = this.weight(`${name}.weight`, [width, x.shape.at(-1)!]);
    const b = bias ? this.weight(`${name}.bias`, [width]) : undefined;
    return this.g.within(name, () => this.g.linear(x, w, b));
  }

  /** Several linears of one input side by side in one value, […, names · width]: later passes may make them one. */
  linears(names: readonly string[], x: Value, width: number, options: { bias?: boolean } = {}): Value {
    return this.g.concat(
      names.map((name) => this.linear(name, x, width, options)),
      -1,
    );
  }

  layerNorm(name: string, x: Value, eps: number): Value {
    const width = x.shape.at(-1)!;
    const affine = { w: this.weight(`${name}.weight`, [width]), b: this.weight(`${name}.bias`, [width]) };
    return this.g.within(name, () => this.g.layerNorm(x, affine, eps));
  }

  rmsNorm(name: string, x: Value, eps: number): Value {
    const w = this.weight(`${name}.weight`, [x.shape.at(-1)!]);
    return this.g.within(name, () => this.g.rmsNorm(x, w, eps));
  }

  /** x[B, C, H, W]. */
  groupNorm(name: string, x: Value, groups: number, eps: number): Value {
    const channels = x.shape[1]!;
    const w = this.weight(`${name}.weight`, [channels]);
    const b = this.weight(`${name}.bias`, [channels]);
    return this.g.within(name, () => this.g.groupNorm(x, w, b, groups, eps));
  }

  /** x[B, C, H, W] → [B, `channels`, H, W] with a square window of odd size `window`, padded to keep the size. */
  conv(name: string, x: Value, channels: number, window: number): Value {
    const w = this.weight(`${name}.weight`, [channels, x.shape[1]!, window, window]);
    const b = this.weight(`${name}.bias`, [channels]);
    return this.g.within(name, () => this.g.conv2d(x, w, b, { padding: (window - 1) / 2 }));
  }

  /** x[B, T, width] or a slice of it → [B, T, heads, width / heads]. */
  heads(x: Value, heads: number): Value {
    const [batch, length, width] = x.shape as [number, number, number];
    return this.g.reshape(x, [batch, length, heads, width / heads]);
  }

  /** The inverse of `heads`. */
  joinHeads(x: Value): Value {
    const [batch, length, heads, width] = x.shape as [number, number, number, number];
    return this.g.reshape(x, [batch, length, heads * width]);
  }
}
