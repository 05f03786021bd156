// A cache folder of a test's own that finds compiled code in the cache all tests share: plans and records start from
// nothing, while equal kernels, which is where time goes, compile once.
import { mkdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { cacheFolder } from "./debug.js";

/** Makes `folder` such a cache, and returns it. */
export function ownCache(folder: string): string {
  const code = join(cacheFolder(), "cc");
  for (const made of [folder, code]) mkdirSync(made, { recursive: true });
  symlinkSync(code, join(folder, "cc"));
  return folder;
}
