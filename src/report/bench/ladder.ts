// The ladder measured: every rung beside the chosen plans, one at a time so that two engines are the most in memory;
// then the lower precision's choice against the best f32 rival.
import { messageOf } from "../../core/error.js";
import type { Interval } from "../../core/statistics.js";
import { COMPONENTS } from "../../pipeline/image/components.js";
import { ImageEngine, type DrawRequest } from "../../pipeline/image/engine.js";
import type { Draw } from "../../pipeline/image/text-to-image.js";
import type { Crossing, Rung } from "./figures.js";
import { drawPairs, drawTimed, stageTimes, type Sample } from "./pairs.js";
import { rungPlans, type RungPlans } from "./rungs.js";

export interface LadderOptions {
  readonly request: DrawRequest;
  readonly rounds: number;
  readonly onRung?: (label: string, done: number, total: number) => void;
}

export interface Ladder {
  readonly rungs: readonly Rung[];
  /** The rival that comes nearest to the chosen plans. */
  readonly best?: RungPlans;
}

const UNITY: Interval = { median: 1, low: 1, high: 1 };
const MS_PER_SECOND = 1e3;

const load = (draw: Draw, plans: RungPlans): Promise<ImageEngine> =>
  ImageEngine.load(draw.machine, draw.model, draw.engine.shape, plans.compiled!);

/** All rungs of the precision that `draw` was compiled for, the chosen plans last. */
export async function measureLadder(draw: Draw, { request, rounds, onRung }: LadderOptions): Promise<Ladder> {
  const { dtype } = draw.engine.shape;
  const plans = await rungPlans(draw.machine, draw.compiled);
  const mine: Sample[] = [];
  const rungs: Rung[] = [];
  let best: { readonly plans: RungPlans; readonly speedup: Interval } | undefined;
  for (const [done, plan] of plans.entries()) {
    const { label, notes, notRun, isRival } = plan;
    onRung?.(label, done, plans.length);
    if (notRun !== undefined) {
      rungs.push({ label, dtype, notes, notRun });
      continue;
    }
    try {
      using engine = await load(draw, plan);
      const pairs = await drawPairs(draw.engine, engine, request, rounds);
      mine.push(...pairs.mine);
      const ms = stageTimes(pairs.theirs);
      const picturesPerSecond = MS_PER_SECOND / ms.picture.median;
      rungs.push({ label, dtype, notes, ms, rounds, chosenIsFaster: pairs.speedup, picturesPerSecond });
      if (isRival && (!best || pairs.speedup.median < best.speedup.median))
        best = { plans: plan, speedup: pairs.speedup };
    } catch (error) {
      if (request.signal?.aborted) throw error;
      rungs.push({ label, dtype, notes, notRun: messageOf(error) });
    }
  }
  if (mine.length === 0) for (let i = 0; i <= rounds; i++) if (i > 0) mine.push(await drawTimed(draw.engine, request));
  const ms = stageTimes(mine);
  const picturesPerSecond = MS_PER_SECOND / ms.picture.median;
  rungs.push({ label: "chosen", dtype, notes: [], ms, rounds: mine.length, chosenIsFaster: UNITY, picturesPerSecond });
  const bar = best?.speedup.median;
  return {
    rungs: rungs.map((rung) =>
      bar !== undefined && rung.chosenIsFaster ? { ...rung, overBestRival: bar / rung.chosenIsFaster.median } : rung,
    ),
    ...(best && { best: best.plans }),
  };
}

/** `draw`, of another precision, against the best f32 rival; that one reads its weights through `draw`'s model. */
export async function measureCrossing(
  draw: Draw,
  { label, compiled: rival }: RungPlans,
  { request, rounds }: LadderOptions,
): Promise<Crossing> {
  const { machine, model, compiled } = draw;
  const shape = { ...draw.engine.shape, dtype: "f32" } as const;
  const byName = Object.fromEntries(
    COMPONENTS.map((name) => {
      const { weights } = compiled[name].component;
      return [name, { ...rival![name], component: { ...rival![name].component, weights } }];
    }),
  ) as unknown as NonNullable<RungPlans["compiled"]>;
  using engine = await ImageEngine.load(machine, model, shape, byName);
  const { speedup } = await drawPairs(draw.engine, engine, request, rounds);
  return { dtype: draw.engine.shape.dtype, rival: label, speedup };
}
