// The ladder measured: every rung beside the chosen plans, one at a time so that two engines are the most in memory;
// then a lower precision's choice against the best f32 rival. What is there is told after every rung.
import { messageOf } from "../../core/error.js";
import type { Interval } from "../../core/statistics.js";
import { ImageEngine, type DrawRequest } from "../../pipeline/image/engine.js";
import type { Draw } from "../../pipeline/image/text-to-image.js";
import type { Bar, Rung } from "./figures.js";
import { drawPairs, drawTimed, stageTimes, type Sample } from "./pairs.js";
import type { Sweep } from "./sweep.js";
import { inOrder, Rounds } from "./rounds.js";
import { mapped, rungPlans, type RungPlans } from "./rungs.js";

export interface LadderOptions {
  readonly request: DrawRequest;
  readonly rounds: number;
  readonly sweep: Sweep;
  /** When it is to be over, by `performance.now()`; what does not fit is named. Never unless given. */
  readonly end?: number;
  readonly onRung?: (rung: RungEvent) => void;
  /** The rungs so far, the chosen plans last. */
  readonly onMeasured?: (rungs: readonly Rung[]) => void;
}

/** A rung that is about to be measured. */
export interface RungEvent {
  readonly label: string;
  readonly done: number;
  readonly total: number;
  /** What this rung and those after it are likely to take; absent before anything is known. */
  readonly secondsLeft?: number;
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
  const { request, rounds, sweep, end = Number.POSITIVE_INFINITY, onRung, onMeasured } = options;
  const { dtype } = draw.engine.shape;
  onRung?.({ label: "plans to compare with", done: 0, total: 1 });
  const plans = await rungPlans(draw.machine, draw.compiled, { rounds: Math.min(rounds, MOST_TRIALS), sweep });
  await drawTimed(draw.engine, request); // touches memory, starts threads, captures
  const lone = await drawTimed(draw.engine, request);
  const foretold = new Rounds(rounds, lone.picture);
  const mine: Sample[] = [];
  const known = new Map<string, Rung>();
  let best: { readonly plans: RungPlans; readonly speedup: Interval } | undefined;
  const soFar = (): readonly Rung[] => {
    const rungs = plans.flatMap(({ label }) => known.get(label) ?? []);
    return overBest([...rungs, chosenRung(dtype, mine.length > 0 ? mine : [lone])], best?.speedup);
  };
  for (const { label, isRival, notes, notRun } of plans)
    if (notRun !== undefined) known.set(label, { label, dtype, isRival, notes, notRun });
  const toRun = inOrder(plans);
  for (const [done, plan] of toRun.entries()) {
    const { label, isRival, notes } = plan;
    const left = toRun.slice(done);
    const named = { label, dtype, isRival, notes };
    // A ladder without any rival says nothing: the likely fastest is met in one pair, whatever the budget.
    if (done > 0 && !foretold.fits(plan, end)) {
      known.set(label, { ...named, notRun: "the budget ended before it" });
      continue;
    }
    const secondsLeft = Math.max(0, Math.min(foretold.seconds(left), (end - performance.now()) / 1e3));
    onRung?.({ label, done, total: toRun.length, secondsLeft });
    try {
      const start = performance.now();
      using engine = await load(draw, plan);
      foretold.note(performance.now() - start);
      const limited = { rounds, sweep, end: foretold.endOf(left, end) };
      const { theirs, speedup, colourDifference, ...pairs } = await drawPairs(draw.engine, engine, request, limited);
      mine.push(...pairs.mine);
      const ms = stageTimes(theirs);
      const picturesPerSecond = MS_PER_SECOND / ms.picture.median;
      known.set(label, { ...named, ms, rounds: theirs.length, chosenIsFaster: speedup, picturesPerSecond, colourDifference }); // prettier-ignore
      if (isRival && (!best || speedup.median < best.speedup.median)) best = { plans: plan, speedup };
    } catch (error) {
      if (request.signal?.aborted) throw error;
      known.set(label, { ...named, notRun: messageOf(error) });
    }
    onMeasured?.(soFar());
  }
  if (mine.length === 0) mine.push(...(await alone(draw.engine, options)));
  return { rungs: soFar(), ...(best && { best: best.plans }) };
}

function chosenRung(dtype: string, samples: readonly Sample[]): Rung {
  const ms = stageTimes(samples);
  const picturesPerSecond = MS_PER_SECOND / ms.picture.median;
  const named = { label: "chosen", dtype, isRival: false, notes: [] };
  return { ...named, ms, rounds: samples.length, chosenIsFaster: UNITY, picturesPerSecond, colourDifference: 0 };
}

/** With how many times as fast as the best rival each is. */
const overBest = (rungs: readonly Rung[], best: Interval | undefined): readonly Rung[] =>
  rungs.map((rung) =>
    best && rung.chosenIsFaster ? { ...rung, overBestRival: best.median / rung.chosenIsFaster.median } : rung,
  );

/** The chosen plans where nothing else can be run. */
async function alone(
  engine: ImageEngine,
  { request, rounds, sweep, end = Number.POSITIVE_INFINITY }: LadderOptions,
): Promise<readonly Sample[]> {
  const samples: Sample[] = [];
  for (let round = 0; round < rounds && (round === 0 || performance.now() < end); round++) {
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
