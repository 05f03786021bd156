// What this CPU is: the part of a target that code generation and records depend on.
import { readFileSync } from "node:fs";
import { availableParallelism, cpus } from "node:os";
import type { Target } from "../device.js";

/** The instruction-set flags of the first processor, as Linux lists them; empty elsewhere. */
function cpuFlags(): ReadonlySet<string> {
  try {
    const line = /^flags\s*:(.*)$/m.exec(readFileSync("/proc/cpuinfo", "utf8"));
    return new Set(line?.[1]?.trim().split(/\s+/) ?? []);
  } catch {
    return new Set();
  }
}

/** Vector width and features, widest first. */
function isaOf(flags: ReadonlySet<string>): Target["isa"] {
  if (flags.has("avx512f") && flags.has("avx512bw") && flags.has("avx512vl"))
    return flags.has("avx512_bf16")
      ? { name: "avx512-bf16", vectorBytes: 64, bf16: true }
      : { name: "avx512", vectorBytes: 64, bf16: false };
  if (flags.has("avx2") && flags.has("fma")) return { name: "avx2", vectorBytes: 32, bf16: false };
  return { name: "generic", vectorBytes: 16, bf16: false };
}

/** This machine's CPU as a target of `threads` threads; by default all the process may use. */
export function cpuTarget(threads: number = availableParallelism()): Target {
  return { device: "cpu", hardware: cpus()[0]?.model.trim() ?? "unknown", isa: isaOf(cpuFlags()), threads };
}

/** Bytes of the last-level cache, for keeping weights cold while measuring; 32 MiB where the system does not tell. */
export function lastCacheBytes(): number {
  for (const index of [3, 2]) {
    try {
      const text = readFileSync(`/sys/devices/system/cpu/cpu0/cache/index${index}/size`, "utf8");
      const match = /^(\d+)([KMG]?)/.exec(text);
      if (match) return Number(match[1]) * { "": 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30 }[match[2] as "K"]!;
    } catch {
      continue;
    }
  }
  return 32 * 2 ** 20;
}
