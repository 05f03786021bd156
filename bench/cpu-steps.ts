// Where a picture's time goes: every step of the stored plans with the time it takes in a run, by what it computes.
// usage: node dist/bench/cpu-steps.js MODEL [f32|bf16] [THREADS] [RUNS]
import { COMPONENTS } from "../src/pipeline/image/components.js";
import { textToImage } from "../src/pipeline/image/text-to-image.js";
import { median } from "../src/core/statistics.js";

const [folder = "models/flux-shapes", dtype = "bf16", threads = "1", runs = "9"] = process.argv.slice(2);

await using draw = await textToImage(folder, { dtype: dtype as "f32" | "bf16", threads: Number(threads) });
await draw("a large red circle", { seed: 1 });
for (const component of COMPONENTS) {
  const session = draw.engine.session(component);
  const { plan } = draw.compiled[component];
  session.profile();
  const all = Array.from({ length: Number(runs) }, () => session.profile());
  const took = all[0]!.map((_, i) => median(all.map((timings) => timings[i]!.us)));
  const rows = new Map<string, { us: number; count: number }>();
  all[0]!.forEach(({ name, planStep }, i) => {
    const choice = planStep === undefined ? undefined : plan.steps[planStep]!.choice;
    const key = `${name}: ${choice ? `${choice.provider} ${choice.id}` : "copy home"}`;
    const row = rows.get(key) ?? { us: 0, count: 0 };
    rows.set(key, { us: row.us + took[i]!, count: row.count + 1 });
  });
  const total = took.reduce((sum, us) => sum + us, 0);
  console.log(`${component}: ${(total / 1e3).toFixed(2)} ms in ${took.length} rows`);
  for (const [key, { us, count }] of [...rows].toSorted((a, b) => b[1].us - a[1].us).slice(0, 24))
    console.log(`${us.toFixed(0).padStart(8)} us ${((100 * us) / total).toFixed(1).padStart(5)} %  ${count} × ${key}`);
}
