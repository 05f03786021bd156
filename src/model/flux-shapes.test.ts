// The shipped model in float64 on the ops' references, against what the reference implementation computed in float32.
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { sizeOf } from "../core/shape.js";
import type { RefTensor } from "../graph/op.js";
import { SafetensorsFile } from "../weights/safetensors.js";
import { readNumbers } from "../weights/store.js";
import { openFlux } from "./checkpoint.js";
import { clipGraph } from "./clip.js";
import { fluxPrepareGraph, fluxStepGraph } from "./flux.js";
import { root, rowError, runGraph, tensor } from "./golden.test.support.js";
import { positionIds, ropeTables } from "./rope.js";
import { waves } from "./sinusoid.js";
import { t5Graph } from "./t5.js";

const folder = join(root, "models/flux-shapes");
const TOLERANCE = 1e-5;

/** The first prompt's part of a golden tensor. */
async function first(file: SafetensorsFile, name: string): Promise<RefTensor> {
  const { dtype, shape } = file.get(name);
  const one = [1, ...shape.slice(1)];
  return tensor(dtype, one, (await readNumbers(file, name)).subarray(0, sizeOf(one)));
}

test("text encoders, prepare and the last step of flux-shapes agree with the golden file", async () => {
  await using model = await openFlux(folder);
  await using golden = await SafetensorsFile.open(join(folder, "golden.safetensors"));
  const get = (name: string): Promise<RefTensor> => first(golden, name);
  const { stores } = model;
  const near = async (actual: RefTensor, name: string): Promise<void> => {
    const error = rowError(actual, await get(name));
    assert.ok(error < TOLERANCE, `${name}: ${error}`);
  };

  const encoder = { dtype: "f32", batch: 1 } as const;
  const t5 = t5Graph(model.t5, { ...encoder, length: 64 });
  const { last_hidden_state: hidden } = await runGraph(t5, { ids: await get("t5_ids") }, { store: stores.t5 });
  await near(hidden!, "t5_hidden");
  const clip = clipGraph(model.clip, { ...encoder, length: 77 });
  const { pooled } = await runGraph(clip, { ids: await get("clip_ids") }, { store: stores.clip });
  await near(pooled!, "clip_pooled");

  const sizes = { ...encoder, textTokens: 64, imageTokens: 256, steps: 4 };
  const sigmas = tensor("f32", [4, 256], waves([1, 0.75, 0.5, 0.25]));
  const { context, modulation } = await runGraph(
    fluxPrepareGraph(model.flux, sizes),
    { hidden: hidden!, pooled: pooled!, sigmas },
    { store: stores.flux },
  );
  const { cos, sin } = ropeTables(model.flux, positionIds(64, { rows: 16, columns: 16 }));
  const velocity = await get("velocity_3");
  const latents = await get("latents");
  const before = { ...latents, data: latents.data.map((x, i) => x + 0.25 * velocity.data[i]!) };
  const stepped = await runGraph(
    fluxStepGraph(model.flux, sizes),
    {
      latents: before,
      context: context!,
      modulation: modulation!,
      step: tensor("i32", [1], [3]),
      deltas: tensor("f32", [4, 1], [-0.25, -0.25, -0.25, -0.25]),
      cos: tensor("f32", [320, 32], cos),
      sin: tensor("f32", [320, 32], sin),
    },
    { store: stores.flux },
  );
  await near(stepped.velocity!, "velocity_3");
  await near(stepped.next!, "latents");
});
