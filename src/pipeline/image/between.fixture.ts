// Stands in for the process that tunes between requests: says that it tunes, works for the job's budget, and ends when
// its parent lets go of it. A job of no effort fails.
import type { Better, Job, Reply } from "./between.js";

const send = (reply: Reply, then?: () => void): void => void process.send!(reply, () => then?.());

process.once("disconnect", () => process.exit());
process.once("message", (job: Job) => {
  send({ kind: "event", event: { kind: "tune", done: 0, total: 1, title: "" } });
  const end = (reply: Reply): void => send(reply, () => process.exit());
  if (job.effort === "none") return end({ kind: "failed", message: "it cannot" });
  setTimeout(() => end({ kind: "done", better: [{ name: "step" } as Better] }), job.budgetMs);
});
