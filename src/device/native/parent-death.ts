// A signal from the system when the process that started this one is gone, whatever of. Linux alone has it.
import { constants } from "node:os";
import koffi from "koffi";

const PR_SET_PDEATHSIG = 1;

/** Asks for the signal; where there is none of the kind, nothing happens. */
export function askForSignalAtParentsDeath(signal: keyof typeof constants.signals): void {
  if (process.platform !== "linux") return;
  const prctl = koffi.load(null).func("int prctl(int option, unsigned long value)");
  prctl(PR_SET_PDEATHSIG, constants.signals[signal]);
}
