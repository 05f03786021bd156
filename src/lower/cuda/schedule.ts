// How a canonical loop is run on sm_90a: data that a tuner varies, its limits, and the candidates worth timing.
import type { Cannot } from "./form.js";
import { cannot } from "./form.js";

/** Shared memory that one block may use on sm_90, in bytes. */
export const SHARED_LIMIT_BYTES = 232_448;

export interface MatmulSchedule {
  readonly kind: "matmul";
  /** Rows and columns of the tile that one block computes; the contracted axis goes in steps of 64. */
  readonly blockM: number;
  readonly blockN: number;
  readonly stages: number;
  /** Warpgroups that share the tile's rows, beside the one that loads. */
  readonly consumers: 1 | 2 | 3;
  /** Blocks along M that share the tile of B by multicast. */
  readonly cluster: 1 | 2;
  /** Rows of tiles that are walked column by column, so that their operands stay in L2. */
  readonly groupM: number;
  /** Blocks of a cluster that share the contracted axis of one tile and add up what they have; absent: 1. */
  readonly split?: number;
  /** Tiles left over after whole waves are shared along the contracted axis by all blocks, by way of memory. */
  readonly sharesTail?: boolean;
  /** Tables over rows and pairs come into shared memory while the products run, instead of being loaded after them. */
  readonly fetchesTables?: boolean;
  /** Two warpgroups take turns at whole tiles instead of sharing the rows of each: the epilogue of one runs under the products of the other. */
  readonly turns?: boolean;
  /** Of pictures: a tile's rows are the pixels of a patch that is so many wide and blockM / patch high. */
  readonly patch?: number;
}

/** Widths of patches: a warp's 16 rows are neighbours in a line. */
export const PATCH_WIDTHS: readonly number[] = [16, 32, 64, 128];

/** What the epilogue reads that can be fetched while the products run. */
export interface Ahead {
  /** A tensor over the whole tile, which always is. */
  readonly tile: boolean;
  /** Boxes of 16 rows × 128 bytes that a warp needs of tables over rows and pairs, for each of its slabs. */
  readonly tableBoxes: number;
}
export const NOTHING_AHEAD: Ahead = { tile: false, tableBoxes: 0 };

export interface AttentionSchedule {
  readonly kind: "attention";
  /** Warpgroups of 64 queries each. */
  readonly consumers: 1 | 2 | 3;
  readonly blockKeys: number;
  readonly stages: number;
  /** Warpgroups take turns at issuing products, so that the row work of one runs under the products of another. */
  readonly pingPong: boolean;
  /** The tiles of a last wave that is less than half full go to twice as many blocks, one warpgroup working in each. */
  readonly splitTail: boolean;
}

export const STEP_K = 64;
/** Blocks of a cluster that every device grants. */
const MOST_SPLIT = 8;
const BARRIER_BYTES = 1024;
const ALIGN_BYTES = 1024;
/** Rows of a buffer that results leave by: a warp's. */
const BUFFER_ROWS = 16;
/** Bytes of one of so many columns of 16 bits. */
export const bufferBytes = (columns: number): number => BUFFER_ROWS * columns * 2;
export const STAGING_BYTES = bufferBytes(64);

/** Groups of 64 rows of a tile that one warpgroup has. */
export const slabsOf = ({ blockM, consumers, turns }: Pick<MatmulSchedule, "blockM" | "consumers" | "turns">): number =>
  blockM / (turns ? 64 : 64 * consumers);

/** Columns of the parts in which results leave by way of shared memory; 0: tiles of other widths write theirs from registers. */
export const partColumns = ({ blockN }: Pick<MatmulSchedule, "blockN">): 64 | 32 | 0 =>
  blockN % 64 === 0 ? 64 : blockN % 32 === 0 ? 32 : 0;

/** Whether all parts are of 64 columns, which is what blocks share, pictures are made of and tables are fetched for. */
export const isWide = (s: Pick<MatmulSchedule, "blockN">): boolean => partColumns(s) === 64;

/** Bytes of the buffer of a part. A warp has two and takes turns… */
export const partBytes = (s: Pick<MatmulSchedule, "blockN">): number => bufferBytes(partColumns(s));

/** …or one for every part of its share of the tile, where something is fetched into them ahead of time: as many a slab. */
export const slabBuffers = (s: MatmulSchedule, { tableBoxes }: Ahead): number =>
  Math.max(s.blockN / partColumns(s), s.fetchesTables ? tableBoxes : 0);

export const stagingBuffers = (s: MatmulSchedule, ahead: Ahead): number =>
  partColumns(s) === 0 ? 0 : ahead.tile || s.fetchesTables ? slabsOf(s) * slabBuffers(s, ahead) : 2;

export const matmulSharedBytes = (s: MatmulSchedule, ahead: Ahead): number =>
  ALIGN_BYTES +
  s.stages * (s.blockM + s.blockN) * STEP_K * 2 +
  s.consumers * 4 * stagingBuffers(s, ahead) * partBytes(s) +
  BARRIER_BYTES;

/** What blocks leave for each other in the workspace: sums in f32 of a tile a block. */
export const matmulWorkspaceBytes = (s: MatmulSchedule, multiprocessors: number): number =>
  s.sharesTail ? multiprocessors * s.blockM * s.blockN * 4 : 0;

export const attentionSharedBytes = (s: AttentionSchedule, depth: number, valueDepth: number): number =>
  ALIGN_BYTES +
  s.consumers * 64 * depth * 2 +
  s.stages * s.blockKeys * (depth + valueDepth) * 2 +
  s.consumers * 4 * STAGING_BYTES +
  BARRIER_BYTES;

/** Registers a thread of the loading and of the computing warpgroups (setmaxnreg), and the cap at entry; patches take more to load. */
export function registerSplit(consumers: 1 | 2 | 3, ofPatches = false): { readonly load: number; readonly compute: number } {
  return consumers === 1
    ? { load: 56, compute: 240 }
    : consumers === 2
      ? { load: 40, compute: 232 }
      : ofPatches
        ? { load: 40, compute: 152 }
        : { load: 32, compute: 160 };
} // prettier-ignore

export function checkMatmul(s: MatmulSchedule, ahead: Ahead = NOTHING_AHEAD): MatmulSchedule | Cannot {
  if (slabsOf(s) % 1 !== 0)
    return cannot(`blockM ${s.blockM} is no multiple of 64${s.turns ? "" : ` × ${s.consumers} warpgroups`}`);
  if (s.blockN % (s.cluster * 8) !== 0 || s.blockN % 16 !== 0 || s.blockN > 256 || s.blockN < 64)
    return cannot(`blockN ${s.blockN} is not 64 to 256 in steps of 16`);
  if (s.patch !== undefined && (!PATCH_WIDTHS.includes(s.patch) || s.blockM % s.patch !== 0 || !isWide(s)))
    return cannot(`${s.blockM} pixels are no patch ${s.patch} wide, or ${s.blockN} columns no multiple of 64`);
  if (s.stages < 2) return cannot(`${s.stages} stages: a ring needs two`);
  const split = s.split ?? 1;
  if (split > MOST_SPLIT || (split > 1 && (s.cluster > 1 || !isWide(s))))
    return cannot(
      `${split} blocks share a tile: at most ${MOST_SPLIT} do, of columns that are a multiple of 64, without pairs`,
    );
  if (split > 1 && s.stages * (s.blockM + s.blockN) * STEP_K * 2 < s.blockM * s.blockN * 4)
    return cannot(`a ring of ${s.stages} does not hold the sums of a tile`);
  if (s.sharesTail && (s.cluster > 1 || split > 1 || !isWide(s)))
    return cannot("the last tiles are shared by single blocks of columns that are a multiple of 64 only");
  if (s.fetchesTables && (ahead.tableBoxes === 0 || ahead.tile || !isWide(s)))
    return cannot("there are no tables over rows and pairs that could be fetched");
  if (s.turns && (s.consumers !== 2 || split > 1 || s.sharesTail))
    return cannot("two warpgroups take turns, at tiles that no other block shares");
  const registers = (slabsOf(s) * s.blockN) / 2;
  const { compute } = registerSplit(s.consumers, s.patch !== undefined);
  if (registers > compute - 40) return cannot(`the accumulator takes ${registers} registers of ${compute}`);
  const bytes = matmulSharedBytes(s, ahead);
  if (bytes > SHARED_LIMIT_BYTES)
    return cannot(`needs ${bytes} bytes of shared memory, the limit is ${SHARED_LIMIT_BYTES}`);
  return s;
}

export function checkAttention(s: AttentionSchedule, depth: number, valueDepth: number): AttentionSchedule | Cannot {
  for (const [name, size] of [
    ["depth", depth],
    ["value depth", valueDepth],
  ] as const)
    if (size % 64 !== 0 || size > 256 || size < 64) return cannot(`${name} ${size} is not 64, 128, 192 or 256`);
  if (s.blockKeys % 16 !== 0 || s.blockKeys > 256 || s.blockKeys < 16)
    return cannot(`blockKeys ${s.blockKeys} is not a multiple of 16 up to 256`);
  if (s.stages < 2) return cannot(`${s.stages} stages: a ring needs two`);
  if (s.pingPong && s.consumers < 2) return cannot("taking turns needs two warpgroups");
  if (s.splitTail && s.consumers !== 2) return cannot("the last wave is split between two warpgroups only");
  const registers = s.blockKeys / 2 + s.blockKeys / 4 + valueDepth / 2;
  if (registers > registerSplit(s.consumers).compute - 32)
    return cannot(
      `scores, weights and accumulator take ${registers} registers of ${registerSplit(s.consumers).compute}`,
    );
  const bytes = attentionSharedBytes(s, depth, valueDepth);
  if (bytes > SHARED_LIMIT_BYTES)
    return cannot(`needs ${bytes} bytes of shared memory, the limit is ${SHARED_LIMIT_BYTES}`);
  return s;
}
