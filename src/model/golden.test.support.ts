// For tests: graphs run in float64 on formula weights or a checkpoint, and compared with published summaries.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { DType } from "../core/dtype.js";
import { sizeOf, type Shape } from "../core/shape.js";
import { interpretGraph } from "../graph/interpret.js";
import type { Graph } from "../graph/node.js";
import type { RefTensor } from "../graph/op.js";
import { verifyGraph } from "../graph/verify.js";
import { formulaStore, formulaValues } from "../weights/formula.js";
import { readNumbers, type WeightStore } from "../weights/store.js";
import { checkWeights, requiredTensors } from "./weights.js";

export const root = fileURLToPath(new URL("../../..", import.meta.url));

/** n numbers: the first six, the last three, mean and root mean square, to six digits. */
export interface Summary {
  readonly n: number;
  readonly first: readonly number[];
  readonly last: readonly number[];
  readonly mean: number;
  readonly rms: number;
}

/** One reference case: the config's departures from its class's defaults, and summaries by name. */
export type GoldenCase = { readonly config: object; readonly ids?: readonly number[] } & Record<string, Summary>;

export const golden = JSON.parse(readFileSync(`${root}/test/golden/golden.json`, "utf8")) as Record<string, GoldenCase>;

export const TOLERANCE = 2e-5;

/** Compares every number of a summary with absolute tolerance. */
export function expectSummary(values: ArrayLike<number>, expected: Summary, name: string): void {
  const list = Array.from(values);
  assert.equal(list.length, expected.n, `${name} has ${list.length} numbers`);
  const near = (actual: number, wanted: number, what: string): void =>
    assert.ok(Math.abs(actual - wanted) <= TOLERANCE, `${name} ${what}: ${actual}, expected ${wanted}`);
  expected.first.forEach((wanted, i) => near(list[i]!, wanted, `[${i}]`));
  expected.last.forEach((wanted, i) => near(list.at(i - expected.last.length)!, wanted, `[${i - 3}]`));
  near(list.reduce((sum, x) => sum + x, 0) / list.length, expected.mean, "mean");
  near(Math.sqrt(list.reduce((sum, x) => sum + x * x, 0) / list.length), expected.rms, "rms");
}

export const tensor = (dtype: DType, shape: Shape, values: ArrayLike<number>): RefTensor => ({
  dtype,
  shape,
  data: Float64Array.from(values),
});

/** An input made by the formula. */
export const formulaInput = (name: string, shape: Shape): RefTensor =>
  tensor("f32", shape, formulaValues(`in.${name}`, shape));

/** Runs a graph on weights of `store`, by default those of the formula; every graph is verified on the way. */
export async function runGraph(
  graph: Graph,
  inputs: Readonly<Record<string, RefTensor>>,
  options: { readonly store?: WeightStore; readonly round?: boolean } = {},
): Promise<Readonly<Record<string, RefTensor>>> {
  verifyGraph(graph);
  const needed = requiredTensors(graph);
  const store = options.store ?? formulaStore(Object.fromEntries(needed));
  checkWeights(graph, store);
  const weights = new Map<string, RefTensor>();
  for (const [name, shape] of needed) weights.set(name, tensor("f32", shape, await readNumbers(store, name)));
  const { outputs } = interpretGraph(
    graph,
    { inputs: new Map(Object.entries(inputs)), weights },
    { round: options.round ?? false },
  );
  return Object.fromEntries(outputs);
}

/** Largest of ‖a − b‖ / ‖b‖ over rows of the last dim. */
export function rowError(a: RefTensor, b: RefTensor): number {
  const width = b.shape.at(-1)!;
  let worst = 0;
  for (let from = 0; from < sizeOf(b.shape); from += width) {
    let [difference, norm] = [0, 0];
    for (let i = from; i < from + width; i++) {
      difference += (a.data[i]! - b.data[i]!) ** 2;
      norm += b.data[i]! ** 2;
    }
    worst = Math.max(worst, Math.sqrt(difference / norm));
  }
  return worst;
}
