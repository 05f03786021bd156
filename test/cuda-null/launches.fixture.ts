// Draws with random bf16 weights by rules on the CUDA device of this process and prints the pictures of a run and
// the launches of a denoise step by name. usage: launches.fixture.js MODEL BATCH
import { textToImage } from "../../src/pipeline/image/text-to-image.js";

const [model, count] = process.argv.slice(2) as [string, string];
const size = { width: 64, height: 64 };
await using draw = await textToImage(model, { device: "cuda", dtype: "bf16", effort: "none", randomWeights: true, size, batch: Number(count), steps: 1 }); // prettier-ignore
await draw.batch(Array.from({ length: Number(count) }, () => "a circle"));
const { engine } = draw;
const names = engine.session("step").profile().map(({ name }) => name); // prettier-ignore
console.log(JSON.stringify({ batch: engine.shape.batch ?? 1, names }));
