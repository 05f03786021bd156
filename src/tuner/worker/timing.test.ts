import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { median } from "../../core/statistics.js";
import { Pace } from "./pace.js";
import { timeByTurns } from "./timing.js";

/** Runners that report given times and count how often they ran. */
function fake(...us: readonly number[]) {
  const counts = us.map(() => 0);
  const order: number[] = [];
  const runners = us.map((time, index) => () => {
    counts[index]!++;
    order.push(index);
    return time + (counts[index]! % 3);
  });
  return { runners, counts, order };
}

describe("timing by turns", () => {
  it("drops what is twice as slow after a few runs, and gives the close ones a final", () => {
    const { runners, counts } = fake(100, 110, 300, 120);
    const { samples } = timeByTurns(runners, { candidateMs: 5, finalMs: 5 });
    assert.ok(counts[2]! < 8, `${counts[2]} runs of the hopeless one`);
    assert.ok(samples[0]!.length >= 20 && samples[0]!.length === samples[1]!.length);
    assert.equal(median(samples[2]!) > 2 * median(samples[0]!), true);
  });

  it("alternates the direction of turns and never times a candidate's first run", () => {
    const { runners, order } = fake(50, 60);
    timeByTurns(runners, { candidateMs: 1, finalMs: 1 });
    assert.deepEqual(order.slice(0, 4), [0, 1, 1, 0]);
    const first = [1e6, 10, 10, 10, 10, 10];
    const { samples } = timeByTurns([() => first.shift() ?? 10], { candidateMs: 2000, finalMs: 0 });
    assert.ok(samples[0]!.every((us) => us === 10));
  });

  it("counts the turns of all, so that no two runs one after another find the same copy of the weights", () => {
    const turns: number[] = [];
    const runner = (turn: number): number => (turns.push(turn), 100);
    timeByTurns([runner, runner, runner], { candidateMs: 1, finalMs: 0 });
    assert.deepEqual(
      turns,
      Array.from(turns, (_, i) => i),
    );
    assert.ok(turns.length >= 12);
  });

  it("takes a single run of what is slower than its whole time", () => {
    const { runners, counts } = fake(900_000);
    const { samples: [sample] } = timeByTurns(runners, { candidateMs: 10, finalMs: 10 }); // prettier-ignore
    assert.equal(sample!.length, 1);
    assert.equal(counts[0], 1);
  });

  it("brings those who miss the final to its conditions, on a machine that grew slower", () => {
    let runs = 0;
    const heated = (us: number) => () => us * (runs++ < 250 ? 1 : 1.2);
    const { samples } = timeByTurns([100, 101, 102, 104].map(heated), { candidateMs: 5, finalMs: 20 });
    const [best, , , missed] = samples.map(median) as [number, number, number, number];
    assert.ok(Math.abs(best - 120) < 0.1, `${best} us`);
    assert.ok(Math.abs(missed - 1.2 * 104) < 0.5, `${missed} us`);
  });

  it("runs the best of two sides often enough to tell them apart, however long they take", () => {
    const timing = { candidateMs: 10, finalMs: 20, sides: ["own", "own", "library"] };
    const { samples: close } = timeByTurns(fake(20_000, 21_000, 22_000).runners, timing);
    assert.deepEqual(close.map((sample) => sample.length), [6, 1, 6]); // prettier-ignore
    const { samples: far } = timeByTurns(fake(20_000, 21_000, 50_000).runners, timing);
    assert.deepEqual(far.map((sample) => sample.length), [3, 1, 3]); // prettier-ignore
  });

  it("names the candidate before each run", () => {
    const named: number[] = [];
    const { runners, order } = fake(400, 500);
    timeByTurns(runners, { candidateMs: 2, finalMs: 2, before: (index) => named.push(index) });
    assert.deepEqual(named, order);
  });

  /** A processor with a clock and a time of its own: `ghzAt` by milliseconds since it started. */
  function processor(ghzAt: (ms: number) => number) {
    let ms = 0;
    const runner = (cycles: number) => (): number => {
      const us = cycles / ghzAt(ms) / 1e3;
      ms += us / 1e3;
      return us;
    };
    return { runner, pace: new Pace(() => ghzAt(ms), () => ms), ms: () => ms }; // prettier-ignore
  }

  it("takes runs again whose clock was not the usual one", () => {
    const { runner, pace } = processor((ms) => (ms > 4 && ms < 11 ? 2 : 4));
    const { samples, clock } = timeByTurns([1e6, 1.02e6].map(runner), { candidateMs: 25, finalMs: 0, pace });
    assert.ok(samples[0]!.every((us) => us === 250) && samples[1]!.every((us) => us === 255), `${samples}`);
    assert.ok(samples[0]!.length >= 90, `${samples[0]!.length} runs`);
    assert.deepEqual([clock!.ghz, clock!.low, clock!.high, clock!.off], [4, 2, 4, 0]);
    assert.ok(clock!.again >= 12, `${clock!.again} again`);
  });

  it("lets the clock that most runs had be the usual one when it falls for good, and a lucky moment win nothing", () => {
    const { runner, pace } = processor((ms) => (ms < 3 ? 4 : 3));
    const { samples, clock } = timeByTurns([3e6, 2.95e6].map(runner), { candidateMs: 20, finalMs: 20, pace });
    assert.ok(
      samples[0]!.every((us) => Math.abs(us - 1000) < 1e-6),
      `${samples[0]}`,
    );
    assert.deepEqual([clock!.ghz, clock!.off], [3, 0]);
  });

  it("says how many runs count although the clock never came to rest", () => {
    const { runner, pace } = processor((ms) => 3 + ms / 200);
    const { clock } = timeByTurns([6e7].map(runner), { candidateMs: 90, finalMs: 0, pace });
    assert.ok(clock!.off > 0 && clock!.again > 0, JSON.stringify(clock));
  });

  it("runs nothing again at a steady clock", () => {
    const { runner, pace } = processor(() => 3);
    const { clock } = timeByTurns([1e6, 2e6].map(runner), { candidateMs: 10, finalMs: 10, pace });
    assert.deepEqual(clock, { ghz: 3, low: 3, high: 3, again: 0, off: 0 });
  });
});
