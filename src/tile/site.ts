// Where in the kernel text an op was asked for.

const OWN = /\/tile\/(site|trace|traced|math|kernel)\.[jt]s/;

/** file:line of the nearest frame outside the tracer; "?" where the runtime tells nothing. */
export function callSite(): string {
  const frames = new Error().stack?.split("\n").slice(1) ?? [];
  const frame = frames.find((line) => !OWN.test(line) && /:\d+:\d+\)?$/.test(line)) ?? "";
  return /([^/\\ (]+:\d+):\d+\)?$/.exec(frame)?.[1] ?? "?";
}
