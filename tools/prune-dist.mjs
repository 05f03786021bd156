// Removes compiled files whose source is gone, so that a deleted test cannot go on running.
import { existsSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";

for (const root of ["src", "test"]) {
  const out = join("dist", root);
  if (!existsSync(out)) continue;
  for (const entry of readdirSync(out, { recursive: true })) {
    const match = /^(.*)\.(js|d\.ts|js\.map)$/.exec(String(entry));
    if (match && !existsSync(join(root, `${match[1]}.ts`))) rmSync(join(out, String(entry)));
  }
}
