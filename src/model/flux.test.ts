import assert from "node:assert/strict";
import { test } from "node:test";
import type { Graph } from "../graph/node.js";
import type { RefTensor } from "../graph/op.js";
import { formulaStore } from "../weights/formula.js";
import { fluxSchema, parseConfig, type FluxConfig } from "./config.js";
import { fluxPrepareGraph, fluxStepGraph, type FluxOptions } from "./flux.js";
import { positionIds, ropeTables } from "./rope.js";
import { waves } from "./sinusoid.js";
import { expectSummary, formulaInput, golden, rowError, runGraph, tensor } from "./golden.test.support.js";
import { requiredTensors } from "./weights.js";

interface Run {
  readonly prepared: Readonly<Record<string, RefTensor>>;
  readonly stepped: Readonly<Record<string, RefTensor>>;
}

const GRID = { textTokens: 5, imageTokens: 6 } as const;

/** Both graphs at one of `sigmas`, on formula weights and inputs. */
async function run(
  config: FluxConfig,
  sigmas: readonly number[],
  step: number,
  { round = false, probes = true } = {},
): Promise<Run> {
  const options: FluxOptions = { dtype: round ? "bf16" : "f32", batch: 1, steps: sigmas.length, probes, ...GRID };
  const { cos, sin } = ropeTables(config, positionIds(5, { rows: 2, columns: 3 }));
  const prepared = await runGraph(
    fluxPrepareGraph(config, options),
    {
      hidden: formulaInput("encoder_hidden_states", [1, 5, config.joint_attention_dim]),
      pooled: formulaInput("pooled_projections", [1, config.pooled_projection_dim]),
      sigmas: tensor("f32", [sigmas.length, 256], waves(sigmas)),
      guidance: tensor("f32", [1, 256], waves([3.5])),
    },
    { round },
  );
  const stepped = await runGraph(
    fluxStepGraph(config, options),
    {
      latents: formulaInput("hidden_states", [1, 6, config.in_channels]),
      context: prepared.context!,
      modulation: prepared.modulation!,
      step: tensor("i32", [1], [step]),
      deltas: tensor("f32", [sigmas.length, 1], sigmas.map((s, i) => (sigmas[i + 1] ?? 0) - s)), // prettier-ignore
      cos: tensor("f32", [11, config.attention_head_dim / 2], cos),
      sin: tensor("f32", [11, config.attention_head_dim / 2], sin),
    },
    { round },
  );
  return { prepared, stepped };
}

for (const name of ["flux_schnell", "flux_dev"]) {
  test(`${name} agrees with the reference after every block`, async () => {
    const wanted = golden[name]!;
    const { prepared, stepped } = await run(parseConfig(fluxSchema, wanted.config, name), [0.75], 0);
    expectSummary(prepared.temb!.data, wanted.temb!, "temb");
    for (const probe of ["double0_txt", "double0_img", "single1_txt", "single1_img", "norm_out"]) {
      expectSummary(stepped[probe]!.data, wanted[probe]!, probe);
    }
    expectSummary(stepped.velocity!.data, wanted.out!, "out");
  });
}

test("a step of several gives the same velocity as that level alone, and moves the latents by it", async () => {
  const config = parseConfig(fluxSchema, golden.flux_dev!.config, "flux");
  const alone = await run(config, [0.75], 0);
  const second = await run(config, [1, 0.75, 0.5], 1);
  assert.ok(rowError(second.stepped.velocity!, alone.stepped.velocity!) < 1e-12);
  const latents = formulaInput("hidden_states", [1, 6, config.in_channels]).data;
  second.stepped.next!.data.forEach((x, i) =>
    assert.ok(Math.abs(x - (latents[i]! - 0.25 * second.stepped.velocity!.data[i]!)) < 1e-6),
  );
  const first = await run(config, [1, 0.75, 0.5], 0);
  assert.ok(rowError(first.stepped.velocity!, alone.stepped.velocity!) > 0.01);
});

test("without probes the last block's rows of text are not computed, and the velocity is the same", async () => {
  const config = parseConfig(fluxSchema, golden.flux_schnell!.config, "flux");
  const [whole, narrow] = [await run(config, [0.75], 0), await run(config, [0.75], 0, { probes: false })];
  assert.deepEqual(narrow.stepped.velocity!.data, whole.stepped.velocity!.data);
  const rows = (graph: Graph): readonly (number | undefined)[] =>
    [...graph.nodes.values()].filter(({ op }) => op === "gelu_tanh").map(({ outputs }) => graph.values[outputs[0]!]!.shape[1]); // prettier-ignore
  const of = (probes: boolean): Graph => fluxStepGraph(config, { dtype: "f32", batch: 1, steps: 1, probes, ...GRID });
  assert.deepEqual(rows(of(true)).slice(-2), [11, 11]);
  assert.deepEqual(rows(of(false)).slice(-2), [11, 6]);
});

test("values rounded to bfloat16 stay within its error, and are not the exact ones", async () => {
  const config = parseConfig(fluxSchema, golden.flux_schnell!.config, "flux");
  const exact = await run(config, [0.75], 0);
  const rounded = await run(config, [0.75], 0, { round: true });
  const error = rowError(rounded.stepped.velocity!, exact.stepped.velocity!);
  assert.ok(error > 1e-4 && error < 3e-2, `${error}`);
  assert.equal(rounded.stepped.double0_img!.dtype, "bf16");
  assert.equal(rounded.stepped.next!.dtype, "f32");
});

test("a batch computes each prompt as if alone", async () => {
  const config = parseConfig(fluxSchema, { ...golden.flux_schnell!.config, num_layers: 1, num_single_layers: 1 }, "flux"); // prettier-ignore
  const options = { dtype: "f32", steps: 1, ...GRID } as const;
  const store = formulaStore({ ...Object.fromEntries(requiredTensors(fluxPrepareGraph(config, { ...options, batch: 1 }))), ...Object.fromEntries(requiredTensors(fluxStepGraph(config, { ...options, batch: 1 }))) }); // prettier-ignore
  const { cos, sin } = ropeTables(config, positionIds(5, { rows: 2, columns: 3 }));
  const both = async (hidden: RefTensor, pooled: RefTensor, latents: RefTensor): Promise<RefTensor> => {
    const batch = hidden.shape[0]!;
    const sigmas = tensor("f32", [1, 256], waves([1]));
    const prepared = await runGraph(fluxPrepareGraph(config, { ...options, batch }), { hidden, pooled, sigmas }, { store }); // prettier-ignore
    const { velocity } = await runGraph(
      fluxStepGraph(config, { ...options, batch }),
      {
        latents,
        context: prepared.context!,
        modulation: prepared.modulation!,
        step: tensor("i32", [1], [0]),
        deltas: tensor("f32", [1, 1], [-1]),
        cos: tensor("f32", [11, 16], cos),
        sin: tensor("f32", [11, 16], sin),
      },
      { store },
    );
    return velocity!;
  };
  const two = [formulaInput("h", [2, 5, 24]), formulaInput("p", [2, 20]), formulaInput("x", [2, 6, 16])] as const;
  const part = (t: RefTensor, b: number): RefTensor => {
    const size = t.data.length / 2;
    return { ...t, shape: t.shape.with(0, 1), data: t.data.slice(b * size, (b + 1) * size) };
  };
  const together = await both(...two);
  for (const b of [0, 1]) {
    const [h, p, x] = two;
    const alone = await both(part(h, b), part(p, b), part(x, b));
    assert.ok(rowError(part(together, b), alone) < 1e-12);
  }
});

test("text stands at the origin, image tokens at row and column", () => {
  const ids = positionIds(2, { rows: 2, columns: 3 });
  assert.deepEqual([...ids.subarray(0, 6)], [0, 0, 0, 0, 0, 0]);
  assert.deepEqual([...ids.subarray(6)], [0, 0, 0, 0, 0, 1, 0, 0, 2, 0, 1, 0, 0, 1, 1, 0, 1, 2]);
});

test("the rotary tables agree with the reference; text rows are the identity", () => {
  const config = parseConfig(fluxSchema, golden.flux_schnell!.config, "flux");
  const { cos, sin } = ropeTables(config, positionIds(5, { rows: 2, columns: 3 }));
  const twice = (row: Float32Array): number[] => [...row].flatMap((x) => [x, x]);
  expectSummary(twice(cos.subarray(-16)), golden.flux_schnell!.rope_cos_lastrow!, "cos");
  expectSummary(twice(sin.subarray(-16)), golden.flux_schnell!.rope_sin_lastrow!, "sin");
  assert.ok(cos.subarray(0, 5 * 16).every((x) => x === 1) && sin.subarray(0, 5 * 16).every((x) => x === 0));
});

test("rotated rows keep their norm, and their products depend on distances alone", () => {
  const config = parseConfig(fluxSchema, {}, "flux");
  const half = config.attention_head_dim / 2;
  const at = (row: number, column: number): ReturnType<typeof ropeTables> => ropeTables(config, [0, row, column]);
  const vector = (seed: number): number[] => Array.from({ length: 2 * half }, (_, i) => Math.sin(seed + i * i));
  const turn = (x: readonly number[], { cos, sin }: ReturnType<typeof ropeTables>): number[] =>
    Array.from({ length: half }, (_, m) => [
      x[2 * m]! * cos[m]! - x[2 * m + 1]! * sin[m]!,
      x[2 * m + 1]! * cos[m]! + x[2 * m]! * sin[m]!,
    ]).flat();
  const dot = (a: readonly number[], b: readonly number[]): number => a.reduce((sum, x, i) => sum + x * b[i]!, 0);
  const [q, k] = [vector(1), vector(2)];
  assert.ok(Math.abs(dot(turn(q, at(9, 4)), turn(q, at(9, 4))) - dot(q, q)) < 1e-4);
  const near = dot(turn(q, at(3, 7)), turn(k, at(1, 2)));
  assert.ok(Math.abs(near - dot(turn(q, at(43, 27)), turn(k, at(41, 22)))) < 1e-4);
  assert.ok(Math.abs(near - dot(turn(q, at(3, 7)), turn(k, at(1, 3)))) > 1e-2);
});

test("the waves of zero are ones and zeros; cosines come first, frequencies fall to one ten-thousandth", () => {
  assert.deepEqual([...waves([0])], [...Array<number>(128).fill(1), ...Array<number>(128).fill(0)]);
  const row = waves([0.001]);
  assert.ok(Math.abs(row[0]! - Math.cos(1)) < 1e-7 && Math.abs(row[128]! - Math.sin(1)) < 1e-7);
  assert.ok(Math.abs(row[128 + 127]! - 10_000 ** (-127 / 128)) < 1e-9);
});
