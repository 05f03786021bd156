// Replays a lock in fresh processes: the same kernels, and every output of every component bit-equal.
// usage: node tools/replay-lock.mjs LOCK [COUNT] [MODEL]      (a lock: npx troupe compile MODEL --lock LOCK)
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { promisify } from "node:util";

const [lock, count = "10", model = "models/flux-shapes", asChild] = process.argv.slice(2);
if (lock === undefined) {
  console.error("usage: node tools/replay-lock.mjs LOCK [COUNT] [MODEL]");
  process.exit(2);
}

const sha = (...parts) =>
  parts
    .reduce((hash, part) => hash.update(part), createHash("sha256"))
    .digest("hex")
    .slice(0, 16);

/** What one process made of the lock: hashes of its kernels and of its outputs. */
async function replay() {
  const { textToImage } = await import("../dist/src/index.js");
  const draw = await textToImage(model, { lock, strict: true });
  await draw("a large red circle in the center, on a white background", { seed: 5 });
  const made = Object.fromEntries(
    Object.entries(draw.compiled).map(([name, { plan, graph, origin }]) => {
      if (origin !== "locked") throw new Error(`${name} is not from the lock but ${origin}`);
      const session = draw.engine.session(name);
      const kernels = sha(JSON.stringify(plan.steps.map(({ choice, nodes, value }) => [choice, nodes, value])));
      return [name, { kernels, outputs: sha(...graph.outputs.map((output) => session.read(output.name))) }];
    }),
  );
  await draw.dispose();
  return made;
}

if (asChild) process.stdout.write(JSON.stringify(await replay()));
else {
  const seen = new Map();
  for (let i = 0; i < Number(count); i++) {
    const { stdout } = await promisify(execFile)(process.execPath, [import.meta.filename, lock, "1", model, "child"]);
    seen.set(stdout, (seen.get(stdout) ?? 0) + 1);
  }
  for (const [name, { kernels, outputs }] of Object.entries(JSON.parse([...seen.keys()][0])))
    console.log(`${name.padEnd(8)} kernels ${kernels}  outputs ${outputs}`);
  const isSame = seen.size === 1;
  console.log(`${count} processes, ${isSame ? "all equal" : `${seen.size} different results`}`);
  process.exitCode = isSame ? 0 : 1;
}
