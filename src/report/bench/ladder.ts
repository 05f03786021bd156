// The ladder measured: every rung beside the chosen plans, one at a time so that two engines are the most in memory;
// then a lower precision's choice against the best f32 rival.
import { messageOf } from "../../core/error.js";
import type { Interval } from "../../core/statistics.js";
import { ImageEngine, type DrawRequest } from "../../pipeline/image/engine.js";
import type { Draw } from "../../pipeline/image/text-to-image.js";
import type { Bar, Rung } from "./figures.js";
import { drawPairs, drawTimed, stageTimes, type Sample } from "./pairs.js";
import type { Sweep } from "./sweep.js";
import { mapped, rungPlans, type RungPlans } from "./rungs.js";

export interface LadderOptions {
  readonly request: DrawRequest;
  readonly rounds: number;
  readonly sweep: Sweep;
  readonly onRung?: (label: string, done: number, total: number) => void;
}

export interface Ladder {
  readonly rungs: readonly Rung[];
  /** The rival that comes nearest to the chosen plans. */
  readonly best?: RungPlans;
}

const UNITY: Interval = { median: 1, low: 1, high: 1 };
const MS_PER_SECOND = 1e3;
/** A library's sessions are compared by fewer runs than rungs are. */
const MOST_TRIALS = 5;

/** On a device of its own memory rivals read the very weights that the chosen plans read. */
const load = ({ machine, model, engine }: Draw, plans: RungPlans): Promise<ImageEngine> =>
  ImageEngine.load(machine, model, engine.shape, plans.compiled!, machine.device.numbers ? { pool: engine.pool } : {});

/** All rungs of the precision that `draw` was compiled for, the chosen plans last. */
export async function measureLadder(draw: Draw, options: LadderOptions): Promise<Ladder> {
  const { request, rounds, sweep, onRung } = options;
  const { dtype } = draw.engine.shape;
  onRung?.("plans to compare with", 0, 1);
  const plans = await rungPlans(draw.machine, draw.compiled, { rounds: Math.min(rounds, MOST_TRIALS), sweep });
  const mine: Sample[] = [];
  const rungs: Rung[] = [];
  let best: { readonly plans: RungPlans; readonly speedup: Interval } | undefined;
  for (const [done, plan] of plans.entries()) {
    const { label, notes, notRun, isRival } = plan;
    const named = { label, dtype, isRival, notes };
    onRung?.(label, done, plans.length);
    if (notRun !== undefined) {
      rungs.push({ ...named, notRun });
      continue;
    }
    try {
      using engine = await load(draw, plan);
      const { theirs, speedup, colourDifference, ...pairs } = await drawPairs(draw.engine, engine, request, options);
      mine.push(...pairs.mine);
      const ms = stageTimes(theirs);
      const picturesPerSecond = MS_PER_SECOND / ms.picture.median;
      rungs.push({ ...named, ms, rounds, chosenIsFaster: speedup, picturesPerSecond, colourDifference });
      if (isRival && (!best || speedup.median < best.speedup.median)) best = { plans: plan, speedup };
    } catch (error) {
      if (request.signal?.aborted) throw error;
      rungs.push({ ...named, notRun: messageOf(error) });
    }
  }
  if (mine.length === 0) mine.push(...(await alone(draw.engine, options)));
  const ms = stageTimes(mine);
  const picturesPerSecond = MS_PER_SECOND / ms.picture.median;
  const named = { label: "chosen", dtype, isRival: false, notes: [] };
  rungs.push({ ...named, ms, rounds: mine.length, chosenIsFaster: UNITY, picturesPerSecond, colourDifference: 0 });
  const bar = best?.speedup.median;
  return {
    rungs: rungs.map((rung) =>
      bar !== undefined && rung.chosenIsFaster ? { ...rung, overBestRival: bar / rung.chosenIsFaster.median } : rung,
    ),
    ...(best && { best: best.plans }),
  };
}

/** The chosen plans where nothing else can be run. */
async function alone(engine: ImageEngine, { request, rounds, sweep }: LadderOptions): Promise<readonly Sample[]> {
  const samples: Sample[] = [];
  await drawTimed(engine, request);
  for (let round = 0; round < rounds; round++) {
    sweep.run();
    samples.push(await drawTimed(engine, request));
  }
  return samples;
}

/** `draw`, of another precision, against the best f32 rival; that one reads its weights through `draw`'s model. */
export async function measureBar(
  draw: Draw,
  { label, compiled: rival }: RungPlans,
  options: LadderOptions,
): Promise<Bar> {
  const { machine, model, compiled } = draw;
  const shape = { ...draw.engine.shape, dtype: "f32" } as const;
  const theirs = mapped((name) => {
    const { weights } = compiled[name].component;
    return { ...rival![name], component: { ...rival![name].component, weights } };
  });
  using engine = await ImageEngine.load(machine, model, shape, theirs);
  const { speedup } = await drawPairs(draw.engine, engine, options.request, options);
  return { dtype: draw.engine.shape.dtype, rival: label, speedup };
}
