// Matrix products in float64 fast enough for whole models: both operands are packed into panels of a few rows, and a block
// of sums stays in registers over the whole depth. In JavaScript 3 × 3 sums are best (4 to 5 GFLOP/s on a quiet core);
// where there is a C compiler, native-engine.ts does the same with vectors.
import type { Address } from "../../device/device.js";
import type { HostWindow } from "../host-tensor.js";

/** Rows of a matrix as panels [row / block][depth][block], missing rows zero. */
export interface Panels {
  readonly rows: number;
  readonly depth: number;
  readonly data: Float64Array;
}

/** The convolution of one image. */
export interface Convolution {
  /** [channels, height, width], the zeros around it included. */
  readonly planes: Float64Array;
  readonly shape: readonly [number, number, number];
  /** [outputs, channels, height, width]. */
  readonly taps: Float64Array;
  readonly tapShape: readonly [number, number, number, number];
  readonly stride: number;
  /** Height and width of the result. */
  readonly outputs: readonly [number, number];
  readonly out: Float64Array;
}

/** What decides a comparison, a number a row. */
export interface RowSums {
  /** ‖out − ref‖². */
  readonly differences: Float64Array;
  /** ‖ref‖². */
  readonly norms: Float64Array;
}

/** Computes products of panels whose blocks have the sizes it wants; where it can, convolutions and comparisons too. */
export interface ProductEngine {
  readonly rowBlock: number;
  readonly columnBlock: number;
  /** out[i, j] = Σ a[i, k] · b[j, k]; a in panels of rowBlock, b of columnBlock. */
  multiply(a: Panels, b: Panels, to: Destination): void;
  readonly convolve?: (job: Convolution) => void;
  /** Rows of a window against dense numbers, as `rowError` sums them; undefined for dtypes it does not read. */
  readonly compareRows?: (address: Address, window: HostWindow, expected: Float64Array) => RowSums | undefined;
}

/** Rows of a panel in JavaScript. */
const BLOCK = 3;

/** Packs `rows` × `depth` elements of `source`, from `offset` on, at the given strides, into panels of `block` rows. */
export function packPanels(
  block: number,
  source: Float64Array,
  offset: number,
  rows: number,
  depth: number,
  rowStride: number,
  depthStride: number,
): Panels {
  const data = new Float64Array(Math.ceil(rows / block) * depth * block);
  for (let row = 0; row < rows; row++) {
    let at = Math.floor(row / block) * depth * block + (row % block);
    let from = offset + row * rowStride;
    for (let k = 0; k < depth; k++) {
      data[at] = source[from]!;
      at += block;
      from += depthStride;
    }
  }
  return { rows, depth, data };
}

/** Where a product is written: element (i, j) at `offset + i * rowStride + j * columnStride`. */
export interface Destination {
  readonly out: Float64Array;
  readonly offset: number;
  readonly rowStride: number;
  readonly columnStride: number;
}

/** The engine that needs nothing. */
export const scalarEngine: ProductEngine = { rowBlock: BLOCK, columnBlock: BLOCK, multiply: multiplyPanels };

function multiplyPanels(a: Panels, b: Panels, { out, offset, rowStride, columnStride }: Destination): void {
  const tile = new Float64Array(BLOCK * BLOCK);
  for (let j = 0; j < b.rows; j += BLOCK)
    for (let i = 0; i < a.rows; i += BLOCK) {
      blockProduct(a.data, i * a.depth, b.data, j * b.depth, a.depth, tile);
      const rows = Math.min(BLOCK, a.rows - i);
      const columns = Math.min(BLOCK, b.rows - j);
      for (let r = 0; r < rows; r++)
        for (let c = 0; c < columns; c++)
          out[offset + (i + r) * rowStride + (j + c) * columnStride] = tile[r * BLOCK + c]!;
    }
}

function blockProduct(
  a: Float64Array,
  aStart: number,
  b: Float64Array,
  bStart: number,
  depth: number,
  tile: Float64Array,
): void {
  let c00 = 0, c01 = 0, c02 = 0, c10 = 0, c11 = 0, c12 = 0, c20 = 0, c21 = 0, c22 = 0; // prettier-ignore
  let i = aStart;
  let j = bStart;
  for (let k = 0; k < depth; k++) {
    const b0 = b[j]!;
    const b1 = b[j + 1]!;
    const b2 = b[j + 2]!;
    let x = a[i]!;
    c00 += x * b0;
    c01 += x * b1;
    c02 += x * b2;
    x = a[i + 1]!;
    c10 += x * b0;
    c11 += x * b1;
    c12 += x * b2;
    x = a[i + 2]!;
    c20 += x * b0;
    c21 += x * b1;
    c22 += x * b2;
    i += BLOCK;
    j += BLOCK;
  }
  tile[0] = c00;
  tile[1] = c01;
  tile[2] = c02;
  tile[3] = c10;
  tile[4] = c11;
  tile[5] = c12;
  tile[6] = c20;
  tile[7] = c21;
  tile[8] = c22;
}
