// Measures in a process of its own; see child.ts. What it tells on the way is told on.
import { fork } from "node:child_process";
import { TroupeError } from "../../core/error.js";
import { placeOf } from "./ladder-picture.js";
import type { Measured, MeasureEvent, MeasureRequest } from "./measure.js";
import type { Answer, Order } from "./messages.js";

/** Throws what `measure` throws, and TroupeError("provider") where the process does not survive it. */
export function measureApart(
  request: MeasureRequest,
  signal: AbortSignal,
  onEvent: (event: MeasureEvent) => void,
): Promise<Measured> {
  const child = fork(new URL("./child.js", import.meta.url), {
    stdio: ["ignore", "inherit", "inherit", "ipc"],
    serialization: "advanced",
  });
  const order = (what: Order): void => void child.send(what, () => {}); // one that has ended says so itself
  const onAbort = (): void => order({ kind: "cancel" });
  signal.addEventListener("abort", onAbort, { once: true });
  return new Promise<Measured>((resolve, reject) => {
    child.on("message", (answer: Answer) => {
      if (answer.kind === "event") onEvent(answer.event);
      else if (answer.kind === "measured") resolve(answer.measured);
      else reject(errorOf(answer));
    });
    child.on("error", (cause) => reject(ended(request, cause.message)));
    child.on("close", (status, name) => reject(ended(request, name ?? `status ${status}`)));
    order({ kind: "measure", request });
  }).finally(() => {
    signal.removeEventListener("abort", onAbort);
    child.kill("SIGKILL");
  });
}

function errorOf({ code, message, advice, stack }: Extract<Answer, { kind: "failed" }>): TroupeError {
  const error = new TroupeError(code, message.replace(/^internal: /, ""), advice === undefined ? {} : { advice });
  if (stack !== undefined) error.stack = stack;
  return error;
}

const ended = (where: MeasureRequest, how: string): TroupeError =>
  new TroupeError("provider", `the process that measured on ${placeOf(where)} ended with ${how}`, {
    advice: "Find the provider that does it with `troupe conform`, and leave it out with TROUPE_WITHOUT.",
  });
