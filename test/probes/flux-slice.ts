// The slice that probes run: one double-stream and one single-stream block of flux-shapes with what stands before and
// after them, on the tensors of its golden file.
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { DType } from "../../src/core/dtype.js";
import { sizeOf } from "../../src/core/shape.js";
import { interpretGraph } from "../../src/graph/interpret.js";
import type { Graph } from "../../src/graph/node.js";
import type { RefTensor } from "../../src/graph/op.js";
import { openFlux } from "../../src/model/checkpoint.js";
import { fluxPrepareGraph, fluxStepGraph } from "../../src/model/flux.js";
import { positionIds, ropeTables } from "../../src/model/rope.js";
import { waves } from "../../src/model/sinusoid.js";
import { requiredTensors } from "../../src/model/weights.js";
import { SafetensorsFile } from "../../src/weights/safetensors.js";
import { readNumbers, type WeightStore } from "../../src/weights/store.js";
import { tensor } from "./tensors.js";

const folder = fileURLToPath(new URL("../../../models/flux-shapes", import.meta.url));
const TEXT_TOKENS = 64;
const GRID = { rows: 16, columns: 16 };
const STEPS = 4;

export interface FluxSlice {
  readonly graph: Graph;
  readonly weights: WeightStore;
  close(): Promise<void>;
}

async function open(dtype: DType) {
  const model = await openFlux(folder);
  const flux = { ...model.flux, num_layers: 1, num_single_layers: 1 };
  const sizes = { dtype, batch: 1, textTokens: TEXT_TOKENS, imageTokens: GRID.rows * GRID.columns, steps: STEPS };
  return { model, flux, sizes };
}

/** The graph as the model's code builds it, and its weights. */
export async function openSlice(dtype: DType): Promise<FluxSlice> {
  const { model, flux, sizes } = await open(dtype);
  return { graph: fluxStepGraph(flux, sizes), weights: model.stores.flux, close: model.close };
}

/** Numbers of the weights that a graph names, for the interpreter. */
export async function numbersOf(graph: Graph, store: WeightStore): Promise<Map<string, RefTensor>> {
  const numbers = new Map<string, RefTensor>();
  for (const [name, shape] of requiredTensors(graph))
    numbers.set(name, tensor("f32", shape, await readNumbers(store, name)));
  return numbers;
}

/** The slice's inputs at the second noise level, of the golden file's first picture. */
export async function sliceInputs(dtype: DType): Promise<Map<string, RefTensor>> {
  const { model, flux, sizes } = await open(dtype);
  await using golden = await SafetensorsFile.open(join(folder, "golden.safetensors"));
  const first = async (name: string, to: DType = dtype): Promise<RefTensor> => {
    const shape = [1, ...golden.get(name).shape.slice(1)];
    return tensor(to, shape, (await readNumbers(golden, name)).subarray(0, sizeOf(shape)));
  };
  const prepare = fluxPrepareGraph(flux, sizes);
  const levels = Array.from({ length: STEPS }, (_, i) => 1 - i / STEPS);
  const bindings = {
    inputs: new Map<string, RefTensor>([
      ["hidden", await first("t5_hidden")],
      ["pooled", await first("clip_pooled")],
      ["sigmas", tensor("f32", [STEPS, 256], waves(levels))],
    ]),
    weights: await numbersOf(prepare, model.stores.flux),
  };
  const { outputs } = interpretGraph(prepare, bindings, { round: true });
  await model.close();
  const noise = await first("noise", "f32");
  const velocity = await first("velocity_0", "f32");
  const { cos, sin } = ropeTables(flux, positionIds(TEXT_TOKENS, GRID));
  const tokens = TEXT_TOKENS + sizes.imageTokens;
  return new Map<string, RefTensor>([
    ["latents", tensor("f32", noise.shape, noise.data.map((x, i) => x - velocity.data[i]! / STEPS))],
    ["context", outputs.get("context")!],
    ["modulation", outputs.get("modulation")!],
    ["step", tensor("i32", [1], [1])],
    ["deltas", tensor("f32", [STEPS, 1], levels.map(() => -1 / STEPS))],
    ["cos", tensor("f32", [tokens, cos.length / tokens], cos)],
    ["sin", tensor("f32", [tokens, sin.length / tokens], sin)],
  ]); // prettier-ignore
}
