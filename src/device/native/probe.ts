// A first try in a child process: a library that crashes, hangs or exits takes only the child with it.
import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { Found } from "./found.js";

export interface Probe {
  /** Names what is tried, for the sentence: "oneDNN (libdnnl.so.2)". */
  readonly what: string;
  /** URL of the module whose exported function is called in the child. */
  readonly module: string;
  readonly function: string;
  /** Arguments, as JSON. */
  readonly args: readonly unknown[];
  readonly timeoutMs: number;
}

/** Exit status of a child whose function threw. */
const THREW = 77;

const CHILD = `
const [module, name, args] = JSON.parse(process.argv[1]);
try {
  const answer = await (await import(module))[name](...args);
  process.stdout.write("\\n" + JSON.stringify({ answer: answer ?? null }) + "\\n", () => process.exit(0));
} catch (error) {
  process.stderr.write("\\n" + String(error?.message ?? error), () => process.exit(${THREW}));
}`;

/** Calls a function in a child process. Its JSON answer, or a sentence that says how the child ended. */
export async function probe<T>(task: Probe): Promise<Found<{ readonly answer: T }>> {
  const payload = JSON.stringify([task.module, task.function, task.args]);
  const child = spawn(process.execPath, ["--input-type=module", "-e", CHILD, payload], {
    stdio: ["ignore", "pipe", "pipe"],
    cwd: fileURLToPath(new URL(".", import.meta.url)),
  });
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    child.kill("SIGKILL");
  }, task.timeoutMs);
  const { status, signal, stdout, stderr } = await ended(child);
  clearTimeout(timer);
  // One that had ended before is heard of late where this process was busy: it did answer.
  if (timedOut && signal === "SIGKILL")
    return { cannot: `${task.what} did not answer within ${task.timeoutMs} ms of a first try` };
  if (signal) return { cannot: `${task.what} crashed with ${signal} at a first try` };
  const last = stdout.trimEnd().split("\n").at(-1) ?? "";
  if (status === 0 && last.startsWith("{")) return JSON.parse(last) as { answer: T };
  const reason = stderr.trimEnd().split("\n").at(-1) ?? "";
  return { cannot: `${task.what} failed at a first try: ${reason || `the process ended with status ${status}`}` };
}

interface Ended {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

function ended(child: ChildProcess): Promise<Ended> {
  let stdout = "";
  let stderr = "";
  child.stdout?.on("data", (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr?.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
  return new Promise((resolve) => {
    child.on("error", (error) => resolve({ status: -1, signal: null, stdout, stderr: error.message }));
    child.on("close", (status, signal) => resolve({ status, signal, stdout, stderr }));
  });
}
