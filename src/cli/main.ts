// The command line: one file a command, here they are put together. Errors become one message with a code and advice,
// and a semantic exit status; a stack trace only under TROUPE_DEBUG.
import { Command, CommanderError } from "commander";
import { debugLevel } from "../core/debug.js";
import { EXIT, messageOf, TroupeError } from "../core/error.js";
import { version } from "../core/version.js";
import { escaped } from "../core/printable.js";
import { benchCommand } from "./bench.js";
import { compileCommand } from "./compile.js";
import { conformCommand } from "./conform.js";
import type { CommandContext } from "./context.js";
import { demoCommand } from "./demo.js";
import { doctorCommand } from "./doctor.js";
import { explainCommand } from "./explain.js";
import { exportCommand } from "./export.js";
import { followCommand } from "./follow.js";
import { runCommand } from "./run.js";
import { clearLine } from "./ui.js";
import { verifyCommand } from "./verify.js";

const COMMANDS = [
  doctorCommand, runCommand, compileCommand, explainCommand, benchCommand, exportCommand, verifyCommand, conformCommand, followCommand, demoCommand,
] as const; // prettier-ignore

/** Runs one command; resolves to the exit status. */
export async function main(args: readonly string[]): Promise<number> {
  const interrupted = new AbortController();
  const onInterrupt = (): void => {
    clearLine();
    if (interrupted.signal.aborted) process.exit(EXIT.cancelled);
    process.stderr.write("stopping; press Ctrl-C again to stop at once\n");
    interrupted.abort(new TroupeError("cancelled", "interrupted"));
  };
  process.on("SIGINT", onInterrupt).on("SIGTERM", onInterrupt);
  const status = { code: 0 };
  const program = programOf({ signal: interrupted.signal, exit: (code) => void (status.code = code) });
  try {
    await program.parseAsync([...args], { from: "user" });
    return status.code;
  } catch (error) {
    if (error instanceof CommanderError && (error.exitCode === 0 || error.code === "commander.help"))
      return error.exitCode === 0 ? 0 : EXIT.usage;
    return report(error instanceof CommanderError ? usageError(error, args) : error, args.includes("--json"));
  } finally {
    process.off("SIGINT", onInterrupt).off("SIGTERM", onInterrupt);
  }
}

function programOf(context: CommandContext): Command {
  const program = new Command("troupe")
    .description("Compiles generative models for this machine from every kernel provider on it, and runs them.")
    .version(version());
  for (const make of COMMANDS) program.addCommand(make(context));
  // Usage errors are reported like all others.
  for (const command of [program, ...program.commands])
    command.exitOverride().configureOutput({ outputError: () => {} });
  return program;
}

function usageError({ message, code }: CommanderError, args: readonly string[]): TroupeError {
  const command = args.find((arg) => !arg.startsWith("-"));
  const isKnown = code !== "commander.unknownCommand" && command !== undefined;
  return new TroupeError("usage", message.replace(/^error: /, ""), {
    advice: `\`troupe ${isKnown ? `${command} ` : ""}--help\` shows what can be said.`,
  });
}

function report(error: unknown, json: boolean): number {
  const known = error instanceof TroupeError ? error : undefined;
  const code = known?.code ?? "internal";
  clearLine();
  if (json)
    process.stdout.write(
      `${JSON.stringify({ kind: "error", code, message: messageOf(error), advice: known?.advice })}\n`,
    );
  else {
    // Names and texts from files are part of messages; a compiler's words have lines.
    process.stderr.write(`error (${code}): ${messageOf(error).split("\n").map(escaped).join("\n")}\n`);
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
