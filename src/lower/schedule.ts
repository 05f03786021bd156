// What varies between candidates of one kernel on the CPU, and what the machine is. Plain data: it goes into plans.
import type { Layout } from "./layout.js";

export interface CpuTarget {
  /** Width of a vector register: 64 (AVX-512), 32 (AVX2), 16. */
  readonly vectorBytes: 16 | 32 | 64;
  /** The machine multiplies pairs of bf16 into f32 (vdpbf16ps). */
  readonly bf16dot: boolean;
  readonly threads: number;
}

export interface CpuSchedule {
  /** Positions per block, by block key; missing ones come from `defaultBlocks`. */
  readonly blocks: Readonly<Record<string, number>>;
  /** The register block of products: rows × vectors of accumulators. */
  readonly tile?: { readonly rows: number; readonly vectors: number };
  /** Axes of the grid, outermost first; those left out follow. Neighbours in this order run close in time. */
  readonly order?: readonly string[];
  /** Copy what the shifted loads of a loop read, zero padding included, once before it. */
  readonly strips?: boolean;
  /** Copy these products' first operands into scratch rows first (against cache-set conflicts). */
  readonly stageRows?: boolean;
}

/** The sizes and layouts a program is specialised to. */
export interface Binding {
  readonly sizes: Readonly<Record<string, number>>;
  readonly layouts: Readonly<Record<string, Layout>>;
  /** Bytes that addresses of tensors are known to be multiples of, where that is more than an element. */
  readonly alignments?: Readonly<Record<string, number>>;
}

export const lanesOf = (target: Pick<CpuTarget, "vectorBytes">): number => target.vectorBytes / 4;

/** A register block that fills the register file: 14 × 2 of 32 registers, 6 × 2 of 16. */
export const defaultTile = (target: Pick<CpuTarget, "vectorBytes">): { rows: number; vectors: number } =>
  target.vectorBytes === 64
    ? { rows: 14, vectors: 2 }
    : target.vectorBytes === 32
      ? { rows: 6, vectors: 2 }
      : { rows: 4, vectors: 3 };
