// The command line: one file a command, here they are put together. Errors become one message with a code and advice,
// and a semantic exit status; a stack trace only under TROUPE_DEBUG.
import { Command, CommanderError } from "commander";
import { debugLevel } from "../core/debug.js";
import { EXIT, messageOf, TroupeError } from "../core/error.js";
import { version } from "../core/version.js";
import { escaped } from "../core/printable.js";
import type { CommandContext } from "./context.js";
import { clearLine } from "./ui.js";

/** In the order of the help. Importing what a command needs is most of what a short one takes: only its own is. */
const COMMANDS: Readonly<Record<string, () => Promise<(context: CommandContext) => Command>>> = {
  doctor: async () => (await import("./doctor.js")).doctorCommand,
  run: async () => (await import("./run.js")).runCommand,
  compile: async () => (await import("./compile.js")).compileCommand,
  explain: async () => (await import("./explain.js")).explainCommand,
  bench: async () => (await import("./bench.js")).benchCommand,
  export: async () => (await import("./export.js")).exportCommand,
  verify: async () => (await import("./verify.js")).verifyCommand,
  conform: async () => (await import("./conform.js")).conformCommand,
  follow: async () => (await import("./follow.js")).followCommand,
  demo: async () => (await import("./demo.js")).demoCommand,
};

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
  const context = { signal: interrupted.signal, exit: (code: number) => void (status.code = code) };
  try {
    const program = await programOf(context, args);
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

/** The program with the command that is named, or with all where none is: for the help. */
async function programOf(context: CommandContext, args: readonly string[]): Promise<Command> {
  const program = new Command("troupe")
    .description("Compiles generative models for this machine from every kernel provider on it, and runs them.")
    .version(version());
  const named = commandIn(args) ?? "";
  const made = Object.hasOwn(COMMANDS, named) ? [COMMANDS[named]!] : Object.values(COMMANDS);
  for (const load of made) program.addCommand((await load())(context));
  // Usage errors are reported like all others.
  for (const command of [program, ...program.commands])
    command.exitOverride().configureOutput({ outputError: () => {} });
  return program;
}

const commandIn = (args: readonly string[]): string | undefined => args.find((arg) => !arg.startsWith("-"));

function usageError({ message, code }: CommanderError, args: readonly string[]): TroupeError {
  const command = commandIn(args);
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
