// The clock that a processor really runs at. What the system reports is often missing (virtual machines) or the nominal
// one, so a chain of instructions that each wait for the one before is timed: it takes the same number of cycles whatever
// lies in the caches and whoever shares the core.
import { isCannot } from "../native/found.js";
import { openLibrary } from "../native/library.js";
import type { Device, Step } from "../device.js";
import { compileC, findCompiler } from "./compile.js";

const LINKS = 8192;
/** Of an exclusive or and a 32-bit product that depend on each other: one and three on x86-64 since 2008. */
const CYCLES = 4;
/** Something else may interrupt a chain, so the shortest counts. */
const CHAINS = 3;

const SOURCE = `
unsigned troupe_chain(long links, unsigned factor, unsigned mask) {
  unsigned x = mask;
  for (long i = 0; i < links; i++) x = (x ^ mask) * factor;
  return x;
}
`;

/** Returns the clock in GHz of the processor that walks the device's step tables, in some 30 us. */
export type Clock = () => number;

/** Undefined without a C compiler, and where the code cannot be loaded. */
export async function openClock(device: Device): Promise<Clock | undefined> {
  const compiler = await findCompiler();
  if (isCannot(compiler)) return undefined;
  const path = await compileC(compiler, SOURCE).catch(() => undefined);
  if (path === undefined) return undefined;
  const library = openLibrary({ name: "the clock", files: [path], requires: ["troupe_chain"], advice: "" });
  const fn = isCannot(library) ? undefined : library.address("troupe_chain");
  if (fn === undefined) return undefined;
  const step: Step = { kind: "native", name: "clock", fn, words: [BigInt(LINKS), 0x9e3779b1n, 0x85ebca6bn], status: "ignored" }; // prettier-ignore
  const program = device.program(Array.from({ length: CHAINS }, () => step));
  return () => (LINKS * CYCLES) / Math.min(...program.profile().map(({ us }) => us)) / 1e3;
}
