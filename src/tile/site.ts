// Where in the kernel text an op was asked for. Formatting a stack takes longer than tracing an op, so it is done once
// for every place in a text; afterwards the place is known by the raw position of its frame.
type Frame = Pick<NodeJS.CallSite, "getFileName" | "getLineNumber" | "getColumnNumber">;

/** The tracer's own files, as compiled and, through source maps, as written. */
const own = ["site", "trace", "traced", "math", "kernel"].flatMap((name) => {
  const compiled = new URL(`./${name}.js`, import.meta.url);
  return [compiled.pathname, compiled.pathname.replace("/dist/", "/").replace(/js$/, "ts")];
});

/** By raw position. */
const known = new Map<string, string>();

/** file:line of the nearest frame outside the tracer; "?" where the runtime tells nothing. */
export function callSite(): string {
  const frame = rawFrames().find((one) => !own.some((file) => one.getFileName()?.endsWith(file)));
  if (!frame) return formatted();
  const position = `${frame.getFileName()}:${frame.getLineNumber()}:${frame.getColumnNumber()}`;
  let site = known.get(position);
  if (site === undefined) known.set(position, (site = formatted()));
  return site;
}

function rawFrames(): readonly Frame[] {
  const before = Error.prepareStackTrace;
  Error.prepareStackTrace = (_, frames) => frames;
  try {
    const frames: unknown = new Error().stack;
    return Array.isArray(frames) ? (frames as Frame[]) : [];
  } finally {
    if (before) Error.prepareStackTrace = before;
    else delete (Error as Partial<ErrorConstructor>).prepareStackTrace;
  }
}

/** As the runtime formats stacks: where there are source maps, positions are those of the text as written. */
function formatted(): string {
  const frames = new Error().stack?.split("\n").slice(1) ?? [];
  const frame = frames.find((line) => /:\d+:\d+\)?$/.test(line) && !own.some((file) => line.includes(`${file}:`)));
  return /([^/\\ (]+:\d+):\d+\)?$/.exec(frame ?? "")?.[1] ?? "?";
}
