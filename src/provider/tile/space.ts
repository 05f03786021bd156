// Schedule spaces: which register blocks, blocks and panel widths are tried for a kernel, the default one first.
import type { Params } from "../../graph/node.js";
import type { WinogradSize } from "../../kernel/interpolation.js";
import type { CpuSchedule, CpuTarget } from "../../lower/schedule.js";
import { lanesOf } from "../../lower/schedule.js";
import type { Effort, Tiling } from "../provider.js";

/** A choice as plans store it. */
export interface Variant {
  readonly schedule: CpuSchedule;
  /** Columns of packed weight panels; 0: none. */
  readonly width: number;
  readonly pairs: boolean;
  /** Whole numbers lie in fours of i8; absent: in pairs of i16. */
  readonly quads?: boolean;
  readonly channelsLast: boolean;
  /** Programs that share what one program would go through alone, in a kernel of its own; absent: not split. */
  readonly parts?: number;
  /** A convolution by Winograd's filtering, in tiles of so many results a side; absent: tap by tap. */
  readonly winograd?: WinogradSize;
}

export const PLAIN: Variant = { schedule: { blocks: {} }, width: 0, pairs: false, channelsLast: false };

export const paramsOf = (variant: Variant): Params => JSON.parse(JSON.stringify(variant)) as Params;

export function variantOf(params: Params): Variant | undefined {
  const { schedule, width, pairs, quads, channelsLast, parts, winograd } = params as unknown as Partial<Variant>;
  if (!schedule || typeof schedule !== "object" || typeof width !== "number") return undefined;
  if (parts !== undefined && !(Number.isInteger(parts) && parts > 1)) return undefined;
  if (winograd !== undefined && winograd !== 2 && winograd !== 4) return undefined;
  return { schedule, width, pairs: pairs === true, ...(quads === true && { quads }), channelsLast: channelsLast === true, ...(parts && { parts }), ...(winograd && { winograd }) }; // prettier-ignore
}

/** For people and records. */
export function nameOf(kernel: string, { schedule, width, quads, channelsLast, parts, winograd }: Variant): string {
  const tile = schedule.tile ? ` ${schedule.tile.rows}x${schedule.tile.vectors}` : "";
  const blocks = Object.entries(schedule.blocks).map(([axis, size]) => ` ${axis}${size}`).join(""); // prettier-ignore
  return `${kernel}${winograd ? ` Winograd ${winograd}` : ""}${tile}${blocks}${width ? ` panels of ${width}` : ""}${quads ? " of fours" : ""}${schedule.stageRows ? ", rows copied" : ""}${schedule.strips ? ", strips" : ""}${channelsLast ? ", channels last" : ""}${parts ? `, split in ${parts}` : ""}`; // prettier-ignore
}

/** What variants that differ in the sizes of their blocks alone have in common. */
export const methodOf = ({ schedule: { tile, strips }, quads, channelsLast, parts, winograd }: Variant): string =>
  [tile && `${tile.rows}x${tile.vectors}`, winograd && `Winograd ${winograd}`, strips && "strips", quads && "fours", channelsLast && "channels last", parts && `split in ${parts}`]
    .filter(Boolean)
    .join(", "); // prettier-ignore

/** How a product with this schedule is dealt out; undefined for kernels without register blocks. */
export function tilingOf({ schedule }: Variant, target: CpuTarget): Tiling | undefined {
  const { tile, blocks, stageRows } = schedule;
  const { M, N, K } = blocks;
  if (!tile || M === undefined || N === undefined || K === undefined) return undefined;
  return {
    program: { rows: M, columns: N, terms: K },
    block: { rows: tile.rows, columns: tile.vectors * lanesOf(target) },
    copiesRows: stageRows === true,
  };
}

const take = <T>(list: readonly T[], effort: Effort): readonly T[] =>
  effort === "none" ? list.slice(0, 1) : effort === "quick" ? list.slice(0, 6) : list;

interface Tile {
  readonly rows: number;
  readonly vectors: number;
}

/** Register blocks, best guess first. */
function tiles({ vectorBytes }: CpuTarget, rows: number): readonly Tile[] {
  if (vectorBytes < 64) return rows <= 2 ? [{ rows: 2, vectors: 4 }] : [{ rows: 6, vectors: 2 }, { rows: 4, vectors: 3 }]; // prettier-ignore
  if (rows <= 4) return [{ rows: 4, vectors: 4 }, { rows: 4, vectors: 6 }];
  return [{ rows: 14, vectors: 2 }, { rows: 6, vectors: 4 }];
} // prettier-ignore

/** The largest part of `size` in equal even steps of at most `most`. */
function evenBlock(size: number, most: number): number {
  if (size <= most) return size;
  const block = Math.ceil(size / Math.ceil(size / most));
  return block + (block % 2);
}

/** Column blocks of whole panels such that all threads have work; `times` scales the guess. */
function columnBlock(size: number, width: number, programs: number, threads: number, times: number): number {
  const panels = Math.ceil(size / width);
  const share = Math.max(1, Math.floor((panels * programs) / (4 * threads)));
  return Math.min(panels, Math.max(1, Math.min(4 * times, share))) * width;
}

export interface ProductSizes {
  readonly M: number;
  readonly N: number;
  readonly K: number;
  /** Products of the same sizes side by side. */
  readonly batch: number;
  readonly weight: boolean;
  readonly bf16: boolean;
}

export function productVariants(sizes: ProductSizes, target: CpuTarget, effort: Effort): readonly Variant[] {
  const { M, N, K, batch, weight, bf16 } = sizes;
  const lanes = lanesOf(target);
  const pairs = bf16 && target.bf16dot && K % 2 === 0;
  const of = (tile: Tile, rowsMost: number, stepsMost: number, times: number, stageRows = false): Variant => {
    const vectors = Math.min(tile.vectors, Math.ceil(N / lanes));
    const width = vectors * lanes;
    const m = evenBlock(M, rowsMost);
    const n = Math.min(columnBlock(N, width, batch * Math.ceil(M / m), target.threads, times), Math.ceil(N / width) * width); // prettier-ignore
    const blocks = { M: m, N: n, K: evenBlock(K, stepsMost) };
    return {
      schedule: { blocks, tile: { rows: tile.rows, vectors }, ...(stageRows && { stageRows }) },
      width: weight ? width : 0,
      pairs: weight && pairs,
      channelsLast: false,
    };
  };
  const [first, second] = tiles(target, M);
  const list = [of(first!, 256, 1024, 1)];
  if (second) list.push(of(second, 256, 1024, 1));
  list.push(of(first!, 128, 384, 2));
  if (second) list.push(of(second, 128, 384, 2));
  if (M > 16 && target.vectorBytes < 64) list.push(of(second ?? first!, 512, 1024, 1, true));
  list.push(of(first!, 512, 256, 4));
  return take(distinct(list), effort);
}

/** Vector registers; products of fours keep sums of the columns beside the columns, and two that are shared. */
const REGISTERS = 32;

/** Products of 8-bit integers: in pairs of i16 on any machine, before those in fours of i8 where it multiplies fours. */
export function productI8Variants(sizes: ProductSizes, target: CpuTarget, effort: Effort): readonly Variant[] {
  const pairs = productVariants(sizes, target, effort);
  if (!target.bf16dot || !sizes.weight || sizes.K % 4 !== 0) return pairs;
  const fours = productVariants(sizes, target, effort).flatMap((variant): Variant[] => {
    const { tile, blocks } = variant.schedule;
    if (!tile || blocks.K! % 4 !== 0) return [];
    const rows = Math.min(tile.rows, Math.floor((REGISTERS - 2 - 2 * tile.vectors) / tile.vectors));
    return [{ ...variant, quads: true, schedule: { ...variant.schedule, tile: { ...tile, rows } } }];
  });
  return effort === "none" ? [...fours, ...pairs].slice(0, 1) : [...fours, ...pairs];
}

export interface ConvSizes {
  readonly OY: number;
  readonly OX: number;
  readonly O: number;
  readonly C: number;
  readonly weight: boolean;
  readonly bf16: boolean;
  readonly canTurn: boolean;
  /** The channels of the input lie side by side already. */
  readonly isTurned: boolean;
}

/** Scratch memory for the lines of a picture that one program reads: a good part of a core's own cache. */
const STRIP_BYTES = 320 << 10;

export function convVariants(sizes: ConvSizes, target: CpuTarget, effort: Effort): readonly Variant[] {
  const { OY, OX, O, C, weight, bf16, canTurn, isTurned } = sizes;
  const lanes = lanesOf(target);
  const pairs = bf16 && target.bf16dot && C % 2 === 0;
  const lineBytes = OX * C * (bf16 ? 2 : 4);
  const stripLines = Math.max(1, Math.min(8, Math.floor(STRIP_BYTES / lineBytes) - 2));
  interface Options {
    readonly lines: number;
    readonly columns: number;
    readonly turn: boolean;
    readonly strips: boolean;
  }
  const of = (tile: Tile, { lines, columns: most, turn, strips }: Options): Variant => {
    const vectors = Math.min(tile.vectors, Math.ceil(O / lanes));
    const width = vectors * lanes;
    const columns = Math.max(1, Math.min(Math.ceil(O / width), Math.floor(most / width))) * width;
    const blocks = { OY: Math.min(OY, lines), OX, O: columns, C: evenBlock(C, 512) };
    const schedule = { blocks, tile: { rows: tile.rows, vectors }, ...(strips && { strips }) };
    return { schedule, width: weight ? width : 0, pairs: weight && pairs, channelsLast: turn };
  };
  const wide = target.vectorBytes === 64;
  const [long, even, broad]: readonly Tile[] = wide
    ? [{ rows: 14, vectors: 2 }, { rows: 8, vectors: 2 }, { rows: 6, vectors: 4 }]
    : [{ rows: 6, vectors: 2 }, { rows: 4, vectors: 2 }, { rows: 4, vectors: 3 }]; // prettier-ignore
  const best = OX % 8 === 0 && wide ? even! : long!;
  const inStrips = (tile: Tile, turn: boolean): Variant => of(tile, { lines: stripLines, columns: 256, turn, strips: true }); // prettier-ignore
  const direct = (tile: Tile, lines: number, columns: number, turn: boolean): Variant => of(tile, { lines, columns, turn, strips: false }); // prettier-ignore
  const plain = isTurned ? direct(best, 1, 128, false) : inStrips(best, false);
  const others = wide
    ? isTurned || canTurn
      ? [direct(best, 1, 128, canTurn), direct(broad!, 2, 128, canTurn)]
      : [inStrips(broad!, false), inStrips(long!, false)]
    : [
        ...(isTurned || canTurn ? [direct(best, 1, 128, canTurn), inStrips(best, canTurn), direct(broad!, 2, 128, canTurn)] : []),
        inStrips(broad!, false),
        inStrips(long!, false),
        direct(long!, 4, 64, canTurn),
        direct(best, 1, 256, false),
      ]; // prettier-ignore
  return take(distinct([plain, ...others]), effort);
}

/** Scratch memory for the transformed tiles of a program, before and after the product: half a core's own cache. */
const TILES_BYTES = 512 << 10;
/** The same where results are transformed back some panels at a time, and so stay in the nearest cache. */
const PANEL_TILES_BYTES = 640 << 10;

/** Whole tile lines, or parts of one, such that what lies between the transforms stays close. */
export function winogradVariants(sizes: ConvSizes, m: WinogradSize, target: CpuTarget): readonly Variant[] {
  const { OY, OX, O, C, canTurn, isTurned } = sizes;
  const lanes = lanesOf(target);
  const [TY, TX] = [OY / m, OX / m];
  const wide = target.vectorBytes === 64;
  const of = (tile: Tile, times: number, turn: boolean, panels = Infinity): Variant => {
    const vectors = Math.min(tile.vectors, Math.ceil(O / lanes));
    const results = Math.min(O, panels * vectors * lanes);
    const tileBytes = (m + 2) ** 2 * (C + results) * 4;
    const most = Math.max(8, Math.floor(((wide ? TILES_BYTES : PANEL_TILES_BYTES) * times) / tileBytes));
    const columns = evenBlock(TX, most);
    const lines = Math.max(1, Math.min(Math.ceil(TY / target.threads), Math.floor(most / columns)));
    const schedule = { blocks: { TY: lines, TX: columns, O: results }, tile: { rows: tile.rows, vectors } };
    return { schedule, width: vectors * lanes, pairs: false, channelsLast: turn, winograd: m };
  };
  const [narrow, broad]: readonly Tile[] = wide
    ? [{ rows: 8, vectors: 2 }, { rows: 6, vectors: 4 }]
    : [{ rows: 6, vectors: 2 }, { rows: 4, vectors: 3 }]; // prettier-ignore
  const turns = canTurn && !isTurned ? [true, false] : [canTurn];
  if (wide) return turns.flatMap((turn) => [of(narrow!, 1, turn), of(broad!, 1, turn), of(narrow!, 2, turn), of(broad!, 2, turn)]); // prettier-ignore
  return turns.flatMap((turn) => [of(narrow!, 1, turn, 2), of(narrow!, 1, turn), of(broad!, 1, turn, 1), of(narrow!, 2, turn, 1), of(broad!, 1, turn, 2)]); // prettier-ignore
}

export interface AttentionSizes {
  readonly Q: number;
  readonly L: number;
  readonly bf16: boolean;
  readonly programs: number;
}

export function attentionVariants({ Q, L, bf16, programs }: AttentionSizes, target: CpuTarget, effort: Effort): readonly Variant[] {
  const lanes = lanesOf(target);
  const rounded = (most: number): number => {
    const block = Math.ceil(Q / Math.ceil(Q / most));
    return Math.min(Math.ceil(Q / lanes) * lanes, Math.ceil(block / (2 * lanes)) * 2 * lanes);
  };
  const keys = (most: number): number => Math.min(L, Math.ceil(evenBlock(L, most) / lanes) * lanes);
  const of = (q: number, l: number): Variant => ({ ...PLAIN, schedule: { blocks: { Q: rounded(q), L: keys(l) } } });
  const list = bf16 ? [of(96, 128), of(64, 128), of(160, 64), of(128, 256), of(64, 64)] : [of(64, 64), of(32, 256), of(64, 128), of(96, 128), of(160, 64)]; // prettier-ignore
  const spread = programs < target.threads ? [of(32, 128), ...list] : list;
  return take(distinct(spread), effort);
} // prettier-ignore

export interface PagedSizes {
  /** Programs of the kernel in one pass. */
  readonly programs: number;
  /** Most pages of a sequence. */
  readonly pages: number;
}

/** One pass; parts too where its programs are too few to keep all threads busy with sequences of unequal length. */
export function pagedVariants({ programs, pages }: PagedSizes, target: CpuTarget, effort: Effort): readonly Variant[] {
  const parts = programs < 4 * target.threads ? [2, 4, 8].filter((count) => count <= pages) : [];
  return take([PLAIN, ...parts.map((count) => ({ ...PLAIN, parts: count }))], effort);
}

/** Lines of a block where channels are neighbours. */
const CHANNEL_LINES = 8;

/** Channels first: a group a program. Channels last: lines are dealt out, and their sums joined. */
export function groupNormVariants(
  { H, isTurned, canTurn }: { readonly H: number; readonly isTurned: boolean; readonly canTurn: boolean },
  { threads }: CpuTarget,
  effort: Effort,
): readonly Variant[] {
  const planes = (Y: number): Variant => ({ ...PLAIN, schedule: { blocks: { G: 1, Y } } });
  const channels = (turn: boolean): Variant => ({
    ...PLAIN,
    schedule: { blocks: { Y: Math.min(H, CHANNEL_LINES) } },
    channelsLast: turn,
    parts: 2 * threads,
  });
  const list = isTurned ? [channels(false)] : [planes(H), ...(canTurn ? [channels(true)] : []), planes(Math.ceil(H / 8))];
  return take(distinct(list), effort);
} // prettier-ignore

/** Kernels that move memory: smaller and larger shares a program. */
export function movingVariants(keys: readonly { readonly key: string; readonly size: number }[], canTurn: boolean, effort: Effort): readonly Variant[] {
  const list: Variant[] = [PLAIN];
  if (canTurn) list.push({ ...PLAIN, channelsLast: true });
  const last = keys.at(-1);
  if (last)
    for (const share of [4, 16])
      if (last.size > share)
        list.push({ ...PLAIN, schedule: { blocks: { [last.key]: Math.ceil(last.size / share) } } });
  return take(distinct(list), effort);
} // prettier-ignore

function distinct(list: readonly Variant[]): readonly Variant[] {
  const seen = new Set<string>();
  return list.filter((variant) => {
    const key = JSON.stringify(variant);
    return !seen.has(key) && seen.add(key);
  });
}
