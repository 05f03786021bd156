// One denoise step of FLUX.1 at full width with two double and two single blocks: bf16 against f32 on the device, same
// weights, same inputs, plans by rules. usage: node dist/bench/cuda-width.js [--out FILE.jsonl]
import { appendFileSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { rowError } from "../src/check/row-error.js";
import { dtypeBytes, fromBf16Bits, readElement, toBf16Bits, writeElement } from "../src/core/dtype.js";
import { fillNormal } from "../src/core/philox.js";
import { sizeOf } from "../src/core/shape.js";
import { textToImage } from "../src/pipeline/image/text-to-image.js";
import { writeFluxFolder } from "./cuda/flux-folder.js";

const { values: flags } = parseArgs({ options: { out: { type: "string" } } });
const OUTPUTS = ["velocity", "next"] as const;
const folder = mkdtempSync(join(tmpdir(), "width-"));
writeFluxFolder(folder, { num_layers: 2, num_single_layers: 2 });

/** The step's outputs on inputs that bf16 holds exactly. */
async function outputs(dtype: "f32" | "bf16"): Promise<Readonly<Record<string, Float64Array>>> {
  await using draw = await textToImage(folder, { device: "cuda", dtype, effort: "none", randomWeights: true });
  const session = draw.engine.session("step");
  ["context", "modulation", "latents", "deltas"].forEach((name, stream) => {
    const { dtype: stored, shape } = session.type(name);
    const numbers = new Float32Array(sizeOf(shape));
    fillNormal(numbers, 5, stream);
    const bytes = new Uint8Array(numbers.length * dtypeBytes(stored));
    const view = new DataView(bytes.buffer);
    numbers.forEach((x, i) => writeElement(view, stored, i, fromBf16Bits(toBf16Bits(0.5 * x))));
    session.write(name, bytes);
  });
  session.write("step", new Uint8Array(4));
  await session.run();
  return Object.fromEntries(
    OUTPUTS.map((name) => {
      const bytes = session.read(name);
      const { dtype: stored, shape } = session.type(name);
      const view = new DataView(bytes.buffer, bytes.byteOffset);
      return [name, Float64Array.from({ length: sizeOf(shape) }, (_, i) => readElement(view, stored, i))];
    }),
  );
}

const exact = await outputs("f32");
const rounded = await outputs("bf16");
for (const name of OUTPUTS) {
  const [wanted, got] = [exact[name]!, rounded[name]!];
  const whole = rowError(got, wanted, [wanted.length]).error;
  const rows = rowError(got, wanted, [wanted.length / 64, 64]).error;
  const finite = wanted.every(Number.isFinite) && got.every(Number.isFinite);
  console.log(`${name}: ${whole.toExponential(2)} over all (1e-2 allowed), ${rows.toExponential(2)} in the worst row (3e-2), finite ${finite}`); // prettier-ignore
  if (flags.out) appendFileSync(flags.out, `${JSON.stringify({ what: `width ${name}`, whole, rows, finite })}\n`);
}
