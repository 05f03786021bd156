// Tuning between requests: it waits until nobody draws, ends when somebody does, begins again, and hands over what it
// found while there is no request. What the process itself does is shown by tools/tune-between.mjs.
import assert from "node:assert/strict";
import { EventEmitter, once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
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

/** The processes of the stand-in that this one has started, by state: "T" stands still. */
const states = (): readonly string[] =>
  readdirSync("/proc").filter((pid) => /^\d+$/.test(pid)).flatMap((pid) => {
    try {
      const [, state, parent] = /\) (\S) (\d+)/.exec(readFileSync(`/proc/${pid}/stat`, "utf8"))!;
      const isOurs = Number(parent) === process.pid && readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("between.fixture");
      return isOurs ? [state!] : [];
    } catch {
      return []; // it has ended meanwhile
    }
  }); // prettier-ignore

test(
  "a process stands still while a request runs, and ends after it",
  { skip: process.platform !== "linux" },
  async () => {
    const { between, told, request } = tuner({ effort: "quick", budgetMs: 100_000 });
    await request(0);
    await once(told, "tune");
    between.begin();
    await sleep(100);
    assert.deepEqual(states(), ["T"]);
    between.end();
    await between[Symbol.asyncDispose]();
    assert.deepEqual(states(), []);
  },
);

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
