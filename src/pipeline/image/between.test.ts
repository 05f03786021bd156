// Tuning between requests: it waits until nobody draws, ends when somebody does, begins again, and hands over what it
// found while there is no request. What the process itself does is shown by tools/tune-between.mjs.
import assert from "node:assert/strict";
import { EventEmitter, once } from "node:events";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { TunerBetween, type Job } from "./between.js";
import { textToImage } from "./text-to-image.js";

const alive = setInterval(() => {}, 60_000); // idle tuning keeps no process from ending
after(() => clearInterval(alive));

/** A tuner whose steps can be waited for. `take` needs 200 ms unless a request comes. */
function tuner(job: Partial<Job>) {
  const told = new EventEmitter();
  const seen: string[] = [];
  const say = (what: string): void => {
    seen.push(what);
    told.emit(what);
  };
  let isLeft = true;
  const between = new TunerBetween(
    {
      next: () => (isLeft ? (job as Job) : undefined),
      take: async (_, better, signal) => {
        say(`take ${better.map(({ name }) => name).join()}`);
        await sleep(200, undefined, { signal }).catch(() => {});
        if (signal.aborted) return false;
        isLeft = false;
        say("taken");
        return true;
      },
      giveUp: (_, message) => {
        isLeft = false;
        say(`given up: ${message}`);
      },
      onEvent: ({ kind }) => say(kind),
    },
    new URL("./between.fixture.js", import.meta.url),
  );
  const request = async (ms: number): Promise<void> => {
    between.begin();
    await sleep(ms);
    between.end();
  };
  return { between, told, seen, request };
}

test("nothing runs while there are requests; between them it tunes and hands over", async () => {
  const { between, told, seen, request } = tuner({ effort: "quick", budgetMs: 300 });
  await using _ = between;
  await Promise.all([request(100), request(700)]);
  assert.deepEqual(seen, [], "one request had not ended");
  await once(told, "taken");
  assert.deepEqual(seen, ["tune", "take step", "taken"]);
});

test("a request ends the process at once, and the next idle moment begins again", async () => {
  const { between, told, seen, request } = tuner({ effort: "quick", budgetMs: 1500 });
  await using _ = between;
  await request(0);
  await once(told, "tune");
  await request(100);
  await once(told, "taken");
  assert.deepEqual(seen, ["tune", "tune", "take step", "taken"]);
});

test("a request puts off taking over, which is tried again without tuning anew", async () => {
  const { between, told, seen, request } = tuner({ effort: "quick", budgetMs: 100 });
  await using _ = between;
  await request(0);
  await once(told, "take step");
  await request(100);
  await once(told, "taken");
  assert.deepEqual(seen, ["tune", "take step", "take step", "taken"]);
});

test("a job that cannot be done is given up, with the reason, and disposing ends a process under way", async () => {
  const failing = tuner({ effort: "none" });
  await failing.request(0);
  await once(failing.told, "given up: it cannot");
  await failing.between[Symbol.asyncDispose]();
  const endless = tuner({ effort: "quick", budgetMs: 100_000 });
  await endless.request(0);
  await once(endless.told, "tune");
  await endless.between[Symbol.asyncDispose]();
  assert.deepEqual(endless.seen, ["tune"]);
});

test("what is locked or lowered is not tuned between requests", async () => {
  const between = { tune: "between", effort: "none" } as const;
  await assert.rejects(
    textToImage("models/flux-shapes", { ...between, maxError: 0.02 }),
    /largest error are not tuned/,
  );
});
