// Where in the kernel text an op was asked for.

/** The tracer's own files, as compiled and, through source maps, as written. */
const own = ["site", "trace", "traced", "math", "kernel"].flatMap((name) => {
  const compiled = new URL(`./${name}.js`, import.meta.url);
  return [compiled.pathname, compiled.pathname.replace("/dist/", "/").replace(/js$/, "ts")];
});

/** file:line of the nearest frame outside the tracer; "?" where the runtime tells nothing. */
export function callSite(): string {
  const frames = new Error().stack?.split("\n").slice(1) ?? [];
  const frame = frames.find((line) => /:\d+:\d+\)?$/.test(line) && !own.some((file) => line.includes(`${file}:`)));
  return /([^/\\ (]+:\d+):\d+\)?$/.exec(frame ?? "")?.[1] ?? "?";
}
