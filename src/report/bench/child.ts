// The process that measures one thread count: pools of native threads are as large as a process first asks for, so
// every count gets a process of its own. It does what it is told by messages and ends when nobody listens any more.
import { messageOf, TroupeError } from "../../core/error.js";
import { measure } from "./measure.js";
import type { Answer, Order } from "./messages.js";

const cancelled = new AbortController();

/** Sends, then calls `after`. */
const send = (answer: Answer, after: () => void = () => {}): void => void process.send!(answer, after);

const end = (): never => process.exit(0);

process.on("message", (order: Order) => {
  if (order.kind === "cancel") return cancelled.abort(new TroupeError("cancelled", "interrupted"));
  measure(order.request, cancelled.signal, (event) => send({ kind: "event", event }))
    .then((measured) => send({ kind: "measured", measured }, end))
    .catch(fail);
});

function fail(error: unknown): void {
  const known = error instanceof TroupeError ? error : undefined;
  const answer: Answer = {
    kind: "failed",
    code: known?.code ?? "internal",
    message: messageOf(error),
    ...(known?.advice !== undefined && { advice: known.advice }),
    ...(error instanceof Error && error.stack !== undefined && { stack: error.stack }),
  };
  send(answer, end);
}

// Ctrl-C reaches every process of a terminal's group; what it means is decided by the one that was called.
process.on("SIGINT", () => {});
process.on("disconnect", end);
