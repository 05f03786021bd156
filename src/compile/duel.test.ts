import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { SURE_SAMPLES } from "../core/statistics.js";
import type { Graph } from "../graph/node.js";
import type { Session } from "../session/session.js";
import { duel, LIKELY_PAIRS } from "./duel.js";

const graph = { outputs: [] } as unknown as Graph;

/** A session that takes as long as it is told, run by run, the last time again and again. */
function session(...us: readonly number[]): { readonly session: Session; readonly runs: () => number } {
  let run = 0;
  const time = (): number => us[Math.min(run++, us.length - 1)]!;
  return { session: { time } as unknown as Session, runs: () => run };
}

const fight = (champion: Session, rival: Session) => duel(graph, champion, rival, { budgetMs: 20 });

describe("a duel", () => {
  it("ends after one pair with a rival that is hopeless, after few with one that is far behind", () => {
    const slow = session(1_000_000, 500_000);
    assert.equal(fight(session(100_000).session, slow.session).champion.median, 5);
    assert.equal(slow.runs(), 2);
    const long = session(230_000);
    assert.equal(fight(session(100_000).session, long.session).pairs, 1);
    const short = session(69_000);
    assert.equal(fight(session(30_000).session, short.session).pairs, 2);
    const behind = session(160_000);
    assert.equal(fight(session(100_000).session, behind.session).pairs, 2);
    assert.equal(behind.runs(), 3);
  });

  it("of short runs takes as many as say something, so that a plan that starts slowly is no loser", () => {
    const rival = session(5000, 5000, 5000, 100);
    const { champion, pairs } = fight(session(200).session, rival.session);
    assert.ok(champion.high < 1, `${champion.high}`);
    assert.ok(pairs > 50);
  });

  it("lets no champion go for one lucky pair", () => {
    const rival = session(500_000, 10_000, 200_000);
    const { champion } = fight(session(100_000).session, rival.session);
    assert.ok(champion.high > 1);
    assert.ok(rival.runs() > 5);
  });

  it("runs enough pairs for an interval, however short the time, unless the champion is far ahead", () => {
    const { pairs } = duel(graph, session(100_000).session, session(120_000).session, { budgetMs: 0 });
    assert.equal(pairs, SURE_SAMPLES);
    assert.equal(duel(graph, session(100_000).session, session(99_000).session, { budgetMs: 0 }).pairs, SURE_SAMPLES);
  });

  it("takes as many pairs as a hundredth needs where runs are uneven", () => {
    // Runs of either side spread over 8 %, each side in an order of its own.
    const spread = (us: number, step: number): number[] => Array.from({ length: 1000 }, (_, i) => us * (0.96 + 0.08 * ((i * step) % 1))); // prettier-ignore
    const result = duel(graph, session(...spread(10_000, 0.618_034)).session, session(...spread(9900, 0.414_214)).session, { budgetMs: 20_000 }); // prettier-ignore
    assert.ok(result.pairs > LIKELY_PAIRS, `${result.pairs}`);
    assert.ok(result.champion.high < 1, `${result.champion.high}`);
  });

  it("takes more pairs of close sides than of others when time is over", () => {
    const pairs = (rivalUs: number): number => duel(graph, session(20_000).session, session(rivalUs).session, { budgetMs: 0 }).pairs; // prettier-ignore
    assert.ok(pairs(19_900) >= LIKELY_PAIRS);
    assert.equal(pairs(22_000), SURE_SAMPLES);
  });

  it("runs short ones for a tenth of a second, however short the time", () => {
    const [mine, theirs] = [session(300), session(297)];
    const { pairs } = duel(graph, mine.session, theirs.session, { budgetMs: 0 });
    assert.ok(pairs * 597 >= 100_000, `${pairs} pairs`);
    assert.ok(mine.runs() > pairs + 50, "warm");
  });

  it("finds a rival that is faster by little, in some rounds", () => {
    const { champion } = fight(session(100_000).session, session(97_000).session);
    assert.ok(champion.high < 1);
  });
});
