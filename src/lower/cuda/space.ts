// Schedules worth timing for a canonical loop, likeliest first, by a model of waves: what a tuner measures, and what
// runs where nothing has been measured.
import { isCannot, type AttentionForm, type MatmulForm } from "./form.js";
import { prefetchedLoad } from "./match-matmul.js";
import { checkAttention, checkMatmul, type AttentionSchedule, type MatmulSchedule } from "./schedule.js";

/** Tiles that keep the tensor cores fed; `rate` is the share of the best tile's speed, all waves full (H200). */
const TILES = [
  { blockM: 128, blockN: 256, consumers: 2, rate: 1 },
  { blockM: 192, blockN: 192, consumers: 3, rate: 1 },
  { blockM: 256, blockN: 128, consumers: 2, rate: 0.98 },
  { blockM: 128, blockN: 192, consumers: 2, rate: 0.95 },
  { blockM: 128, blockN: 128, consumers: 2, rate: 0.94 },
  { blockM: 64, blockN: 256, consumers: 1, rate: 0.7 },
  { blockM: 64, blockN: 128, consumers: 1, rate: 0.6 },
  { blockM: 64, blockN: 64, consumers: 1, rate: 0.4 },
] as const;
const MOST_STAGES = 6;

export interface MatmulSizes {
  readonly m: number;
  readonly n: number;
}

/** Time of one row of waves, in units of the best tile's: whole waves of whole tiles at the tile's rate. */
function modelled(s: MatmulSchedule, rate: number, { m, n }: MatmulSizes, multiprocessors: number): number {
  const tiles = Math.ceil(m / (s.blockM * s.cluster)) * Math.ceil(n / s.blockN) * s.cluster;
  return (Math.ceil(tiles / multiprocessors) * s.blockM * s.blockN) / rate;
}

/** Every schedule of the space that fits the chip, each with the longest ring that shared memory holds. */
export function matmulCandidates(
  form: MatmulForm,
  sizes: MatmulSizes,
  multiprocessors: number,
): readonly MatmulSchedule[] {
  const prefetch = prefetchedLoad(form) !== undefined;
  const found: { readonly schedule: MatmulSchedule; readonly cost: number }[] = [];
  for (const { rate, ...tile } of TILES)
    for (const cluster of [1, 2] as const) {
      const longest = Array.from({ length: MOST_STAGES - 1 }, (_, i) => MOST_STAGES - i)
        .map((stages) => checkMatmul({ kind: "matmul", ...tile, stages, cluster, groupM: 8 / cluster }, prefetch))
        .find((s): s is MatmulSchedule => !isCannot(s));
      if (longest) found.push({ schedule: longest, cost: modelled(longest, rate, sizes, multiprocessors) });
    }
  return found.sort((a, b) => a.cost - b.cost).map(({ schedule }) => schedule);
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
