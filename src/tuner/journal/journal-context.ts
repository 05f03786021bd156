// What the indices of a journal's marks count, read back after a crash. Apart from the journal, so that the worker, which
// starts often and only writes, imports no schemas.
import { readFileSync } from "node:fs";
import { z } from "zod";
import { MARK_BYTES } from "./journal.js";

/** Names of what indices count, written once a region. */
const contextSchema = z.object({
  signature: z.string(),
  candidates: z.array(z.object({ provider: z.string(), version: z.string(), id: z.string(), key: z.string() })),
});
export type JournalContext = z.infer<typeof contextSchema>;

/** The context in a journal; undefined where there is none that is whole. */
export function readContext(path: string): JournalContext | undefined {
  try {
    return contextSchema.parse(JSON.parse(readFileSync(path, "utf8").slice(MARK_BYTES)));
  } catch {
    return undefined;
  }
}
