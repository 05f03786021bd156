// The command line: one file a command, here they are put together. Errors become one message with a code and advice,
// and a semantic exit status; a stack trace only under TROUPE_DEBUG.
import { readFileSync } from "node:fs";
import { Command, CommanderError } from "commander";
import { debugLevel } from "../core/debug.js";
import { EXIT, messageOf, TroupeError } from "../core/error.js";
import { demoCommand } from "./demo.js";
import { doctorCommand } from "./doctor.js";
import { runCommand } from "./run.js";
import { verifyCommand } from "./verify.js";

/** Runs one command; resolves to the exit status. */
export async function main(args: readonly string[]): Promise<number> {
  const { version } = JSON.parse(readFileSync(new URL("../../../package.json", import.meta.url), "utf8")) as {
    version: string;
  };
  const interrupted = new AbortController();
  const onInterrupt = (): void => {
    if (interrupted.signal.aborted) process.exit(EXIT.cancelled);
    process.stderr.write("\nstopping; press Ctrl-C again to stop at once\n");
    interrupted.abort(new TroupeError("cancelled", "interrupted"));
  };
  process.on("SIGINT", onInterrupt).on("SIGTERM", onInterrupt);
  const status = { code: 0 };
  const context = { signal: interrupted.signal, exit: (code: number): void => void (status.code = code) };
  const program = new Command("troupe")
    .description("Compiles generative models for this machine from every kernel provider on it, and runs them.")
    .version(version)
    .exitOverride();
  for (const add of [demoCommand, doctorCommand, runCommand, verifyCommand])
    program.addCommand(add(context).exitOverride());
  try {
    await program.parseAsync([...args], { from: "user" });
    return status.code;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT.usage;
    return report(error, args.includes("--json"));
  } finally {
    process.off("SIGINT", onInterrupt).off("SIGTERM", onInterrupt);
  }
}

/** What a command gets besides its arguments. */
export interface CommandContext {
  readonly signal: AbortSignal;
  /** Sets the exit status of a command that ended without an error. */
  readonly exit: (code: number) => void;
}

function report(error: unknown, json: boolean): number {
  const known = error instanceof TroupeError ? error : undefined;
  const code = known?.code ?? "internal";
  if (json)
    process.stdout.write(
      `${JSON.stringify({ kind: "error", code, message: messageOf(error), advice: known?.advice })}\n`,
    );
  else {
    process.stderr.write(`error (${code}): ${messageOf(error)}\n`);
    if (known?.advice) process.stderr.write(`  ${known.advice}\n`);
    if (!known)
      process.stderr.write("  This is a bug in troupe; run again with TROUPE_DEBUG=1 and report what it prints.\n");
  }
  if (debugLevel() > 0 && error instanceof Error) {
    process.stderr.write(`${error.stack}\n`);
    if (error.cause instanceof Error) process.stderr.write(`caused by ${error.cause.stack}\n`);
  }
  return EXIT[code];
}
