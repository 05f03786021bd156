// Text files from outside, read only when they are files and of a size that such a file may have: a pipe would be waited
// for, and a file of gigabytes in a config's place would fill the memory before anything could be said about it.
import { readFile, stat } from "node:fs/promises";

const MIB = 2 ** 20;

/** Most bytes of a config, an index of shards or a plan. */
export const CONFIG_BYTES = 64 * MIB;

/** The text of a file. Rejects with an Error that says why not; callers add what the file is and what to do. */
export async function readText(path: string, mostBytes = CONFIG_BYTES): Promise<string> {
  const found = await stat(path);
  if (!found.isFile()) throw new Error("it is no regular file");
  if (found.size > mostBytes)
    throw new Error(`it has ${Math.ceil(found.size / MIB)} MiB, such a file has at most ${mostBytes / MIB}`);
  return readFile(path, "utf8");
}
