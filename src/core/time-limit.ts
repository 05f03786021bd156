// The end of a budget as a signal. Not by AbortSignal.any and AbortSignal.timeout: in Node 20 the signal that they make
// holds the timeout weakly, so one that nobody else holds is collected and never comes.

/** The longest time of a timer, in milliseconds: 25 days. Longer limits are none. */
const LONGEST_MS = 2 ** 31 - 1;

export interface TimeLimit extends Disposable {
  readonly signal: AbortSignal;
}

/** A signal that aborts with `signal` or after `ms`, which may be Infinity; it keeps no process alive. */
export function timeLimit(ms: number, signal?: AbortSignal): TimeLimit {
  const controller = new AbortController();
  const follow = (): void => controller.abort(signal?.reason);
  const late = (): void => controller.abort(new DOMException("the time is over", "TimeoutError"));
  const timer = ms <= LONGEST_MS ? setTimeout(late, Math.max(0, Math.ceil(ms))).unref() : undefined;
  if (signal?.aborted) follow();
  else signal?.addEventListener("abort", follow, { once: true });
  return {
    signal: controller.signal,
    [Symbol.dispose]() {
      clearTimeout(timer);
      signal?.removeEventListener("abort", follow);
    },
  };
}
