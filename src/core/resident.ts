// How much memory this process has in the machine: now and at most, split into what it wrote itself and what are pages
// of files, which is the code of Node, of libraries and of compiled kernels. Linux tells; elsewhere only totals are known.
import { readFileSync, writeFileSync } from "node:fs";

export interface Resident {
  readonly bytes: number;
  /** The most there ever was, or since `forgetPeak`. */
  readonly peakBytes: number;
  /** Of `bytes`: pages of files. */
  readonly fileBytes: number;
}

export function resident(): Resident {
  try {
    const status = readFileSync("/proc/self/status", "utf8");
    const bytesOf = (key: string): number => 1024 * Number(new RegExp(`^${key}:\\s+(\\d+) kB$`, "m").exec(status)![1]);
    return { bytes: bytesOf("VmRSS"), peakBytes: bytesOf("VmHWM"), fileBytes: bytesOf("RssFile") };
  } catch {
    const peakBytes = 1024 * process.resourceUsage().maxRSS;
    return { bytes: process.memoryUsage.rss(), peakBytes, fileBytes: 0 };
  }
}

/** Lets the peak begin anew at what there is now, where the system allows it. */
export function forgetPeak(): void {
  try {
    writeFileSync("/proc/self/clear_refs", "5");
  } catch {
    // The peak of the whole process is told instead, which is never too small.
  }
}

/** The most memory beyond `before`, code left out: whoever loads a library or a kernel later is not charged for it. */
export function grownSince(before: Resident): number {
  const now = resident();
  return Math.max(0, now.peakBytes - now.fileBytes - (before.bytes - before.fileBytes));
}
