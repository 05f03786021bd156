// Schedules worth timing for a canonical loop, likeliest first, by a model of waves: what a tuner measures, and what
// runs where nothing has been measured.
import { isCannot, type AttentionForm } from "./form.js";
import {
  checkAttention,
  checkMatmul,
  isWide,
  partColumns,
  PATCH_WIDTHS,
  STEP_K,
  type Ahead,
  type AttentionSchedule,
  type MatmulSchedule,
} from "./schedule.js";

/** Tiles that keep the tensor cores fed; `rate` is the share of the best tile's speed, all waves full and epilogues apart (H200). */
const TILES = [
  { blockM: 128, blockN: 256, consumers: 2, rate: 1 },
  { blockM: 192, blockN: 192, consumers: 3, rate: 1 },
  { blockM: 256, blockN: 128, consumers: 2, rate: 0.98 },
  { blockM: 128, blockN: 192, consumers: 2, rate: 0.95 },
  { blockM: 128, blockN: 128, consumers: 2, rate: 0.94 },
  { blockM: 128, blockN: 192, consumers: 2, turns: true, rate: 0.96 },
  { blockM: 128, blockN: 160, consumers: 2, turns: true, rate: 0.965 },
  { blockM: 128, blockN: 128, consumers: 2, turns: true, rate: 0.957 },
  { blockM: 128, blockN: 144, consumers: 2, rate: 0.9 },
  { blockM: 64, blockN: 256, consumers: 1, rate: 0.7 },
  { blockM: 64, blockN: 128, consumers: 1, rate: 0.6 },
  { blockM: 64, blockN: 96, consumers: 1, rate: 0.5 },
  { blockM: 64, blockN: 64, consumers: 1, rate: 0.4 },
] as const;
const MOST_STAGES = 6;
/** Schedules before those that differ from the likeliest in the order of their tiles alone. */
const OTHERWISE = 8;

export interface MatmulSizes {
  readonly m: number;
  readonly n: number;
  readonly k: number;
  /** Products side by side. */
  readonly batch: number;
  /** Of convolutions: lines and columns whose pixels the m rows are. */
  readonly picture?: { readonly lines: number; readonly columns: number };
}

/** Elements of the contracted axis that meeting in a cluster takes as long as. */
const MEETING_K = 384;
/** Clusters of two fill a device; of four, an H200 runs 30 at once, of five 22, and leaves multiprocessors idle. */
const SHARERS = 2;

/** Elements of the contracted axis that an epilogue takes as long as, where no other tile's products run meanwhile. */
const EPILOGUE_K = 192;

/** Elements of the contracted axis that meeting by way of memory takes as long as. */
const MEMORY_MEETING_K = 640;

/** How much longer a product takes whose epilogue loads tables itself: 420 for 375 us at 4352×9216×3072. */
const TABLES_AFTERWARDS = 1.12;

/** Tiles along m. */
const rowTiles = ({ blockM, patch }: Pick<MatmulSchedule, "blockM" | "patch">, { m, picture }: MatmulSizes): number =>
  picture && patch
    ? Math.ceil(picture.lines / (blockM / patch)) * Math.ceil(picture.columns / patch)
    : Math.ceil(m / blockM);

const tilesOf = (s: MatmulSchedule, sizes: MatmulSizes): number =>
  Math.ceil(rowTiles(s, sizes) / s.cluster) * Math.ceil(sizes.n / s.blockN) * s.cluster * sizes.batch;

/** Widths of patches for a tile of a picture, none where there is no picture; those first that need the fewest, then those nearest to a square: its taps read least around it. */
function patchWidths(blockM: number, sizes: MatmulSizes): readonly number[] {
  if (!sizes.picture) return [];
  const away = (patch: number): number => Math.abs(Math.log2((patch * patch) / blockM));
  const tiles = (patch: number): number => rowTiles({ blockM, patch }, sizes);
  return PATCH_WIDTHS.filter((patch) => blockM % patch === 0).sort((x, y) => tiles(x) - tiles(y) || away(x) - away(y));
}

/** Time of one row of waves, in units of the best tile's: whole waves of whole tiles at the tile's rate. */
function modelled(s: MatmulSchedule, rate: number, sizes: MatmulSizes, multiprocessors: number): number {
  const { split = 1 } = s;
  const epilogue = EPILOGUE_K / sizes.k;
  if (s.sharesTail) {
    const [whole, left] = [Math.floor(tilesOf(s, sizes) / multiprocessors), tilesOf(s, sizes) % multiprocessors];
    return (
      ((whole + 1 / Math.floor(multiprocessors / left) + MEMORY_MEETING_K / sizes.k) *
        (1 + epilogue) *
        s.blockM *
        s.blockN) /
      rate
    );
  }
  const waves = Math.ceil((tilesOf(s, sizes) * split) / multiprocessors);
  const share = split === 1 ? 1 : 1 / split + MEETING_K / sizes.k;
  // Of warpgroups that take turns, the last epilogue alone runs by itself.
  const exposed = s.turns ? waves + epilogue : waves * share * (1 + epilogue);
  return (exposed * s.blockM * s.blockN) / rate;
}

/** Rows of tiles walked together where as many as tiles under way want would leave few columns for later: a wave then reads rows once. */
const FEW_ROWS = 4;
/** Waves that such rows of tiles take at most. */
const FEW_WAVES = 1.5;

/** Rows of tiles walked together such that tiles under way at once read least: about as many rows as columns of elements. */
function rowsTogether({ blockM, blockN, cluster }: Pick<MatmulSchedule, "blockM" | "blockN" | "cluster">, { m, n, picture }: MatmulSizes, multiprocessors: number): number {
  const rows = Math.ceil(m / (blockM * cluster));
  const ideal = Math.sqrt((multiprocessors * blockN) / blockM) / cluster;
  const isNarrow = !picture && Math.ceil(n / blockN) * ideal * cluster <= FEW_WAVES * multiprocessors;
  return isNarrow ? Math.min(rows, FEW_ROWS) : Math.ceil(rows / Math.max(1, Math.round(rows / ideal)));
} // prettier-ignore

/** The same with two blocks to a tile, where tiles alone leave half of the device idle. */
function shared(s: MatmulSchedule, sizes: MatmulSizes, multiprocessors: number, ahead: Ahead): readonly MatmulSchedule[] {
  if (tilesOf(s, sizes) * SHARERS > multiprocessors || sizes.k < 4 * STEP_K * SHARERS) return [];
  const made = checkMatmul({ ...s, split: SHARERS }, ahead);
  return isCannot(made) ? [] : [made];
} // prettier-ignore

/** The same with its last tiles shared by way of memory, where they leave half of the device idle. */
function tailShared(s: MatmulSchedule, sizes: MatmulSizes, multiprocessors: number, ahead: Ahead): readonly MatmulSchedule[] {
  const left = tilesOf(s, sizes) % multiprocessors;
  if (left === 0 || left * 2 > multiprocessors || sizes.k < 2 * MEMORY_MEETING_K) return [];
  const made = checkMatmul({ ...s, sharesTail: true }, ahead);
  return isCannot(made) ? [] : [made];
} // prettier-ignore

/** Every schedule of the space that fits the chip, each with the longest ring that shared memory holds. */
export function matmulCandidates(ahead: Ahead, sizes: MatmulSizes, multiprocessors: number): readonly MatmulSchedule[] {
  // Pairs of results go straight to memory where a tile is no multiple of what is staged.
  const tiles = TILES.filter(
    (tile) => isWide(tile) || (!sizes.picture && (partColumns(tile) > 0 || sizes.n % 8 === 0)),
  );
  const found = tiles.flatMap(({ rate, ...tile }) =>
    ([1, 2] as const).flatMap((cluster) => {
      const [patch] = patchWidths(tile.blockM, sizes);
      const plain = { kind: "matmul", ...tile, cluster, groupM: rowsTogether({ ...tile, cluster }, sizes, multiprocessors), ...(patch && { patch }) } as const; // prettier-ignore
      const rings = [longestRing(plain, ahead), longestRing({ ...plain, fetchesTables: true }, ahead)].filter((s) => s !== undefined); // prettier-ignore
      return rings
        .filter((s) => !s.turns || tilesOf(s, sizes) > multiprocessors)
        .flatMap((s) => [s, ...shared(s, sizes, multiprocessors, ahead), ...tailShared(s, sizes, multiprocessors, ahead)])
        .map((schedule) => ({ schedule, cost: modelled(schedule, rate, sizes, multiprocessors) * (ahead.tableBoxes > 0 && !schedule.fetchesTables ? TABLES_AFTERWARDS : 1) })); // prettier-ignore
    }),
  );
  const sorted = found.sort((x, y) => x.cost - y.cost).map(({ schedule }) => schedule);
  const fewer = sorted.slice(0, 3).map((schedule) => ({ ...schedule, groupM: Math.ceil(schedule.groupM / 2) }));
  const otherwise = sorted.slice(0, 3).flatMap((schedule) => patchWidths(schedule.blockM, sizes).slice(1, 2).map((patch) => ({ ...schedule, patch }))); // prettier-ignore
  return [...sorted.slice(0, OTHERWISE), ...fewer, ...otherwise, ...sorted.slice(OTHERWISE)];
}

/** A ring as long as shared memory holds: one of two stages beside tables, or of three for two tiles under way, is none worth having. */
function longestRing(s: Omit<MatmulSchedule, "stages">, ahead: Ahead): MatmulSchedule | undefined {
  const least = s.turns ? 4 : s.fetchesTables ? 3 : 2;
  return Array.from({ length: MOST_STAGES + 1 - least }, (_, i) => checkMatmul({ ...s, stages: MOST_STAGES - i }, ahead)).find((made): made is MatmulSchedule => !isCannot(made)); // prettier-ignore
}

/** Wide blocks of keys pay where every block is full; a causal diagonal favours narrow ones, and no turns. */
export function attentionCandidates(
  form: AttentionForm,
  depth: number,
  valueDepth: number,
): readonly AttentionSchedule[] {
  const schedules = ([[2, 176], [2, 128], [3, 80], [2, 64], [1, 128]] as const).flatMap(([consumers, blockKeys]) =>
    (consumers === 1 ? [false] : [true, false]).map(
      (pingPong): AttentionSchedule => ({ kind: "attention", consumers, blockKeys, stages: 2, pingPong, splitTail: consumers === 2 }),
    ),
  ); // prettier-ignore
  const fit = schedules.filter((s) => !isCannot(checkAttention(s, depth, valueDepth)));
  const diagonal = (s: AttentionSchedule): number => Number(s.blockKeys > 128) * 2 + Number(s.pingPong);
  return form.endsWithQueries ? fit.sort((a, b) => diagonal(a) - diagonal(b)) : fit;
}
