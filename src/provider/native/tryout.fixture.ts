// For the tests of providers over native libraries: builds a small graph, cuts a region, runs every candidate on real
// memory with guard zones and poisoned outputs, and compares with the ops' float64 references.
import assert from "node:assert/strict";
import { rowError } from "../../check/row-error.js";
import { dtypeBytes, isFloat, readElement, roundTo, writeElement, type DType } from "../../core/dtype.js";
import { messageOf } from "../../core/error.js";
import { fillUniform } from "../../core/philox.js";
import { coordinateOf, denseStrides, offsetOf, sizeOf, type Strides } from "../../core/shape.js";
import { openCpu } from "../../device/cpu/device.js";
import type { Device } from "../../device/device.js";
import { cpuTarget } from "../../device/cpu/target.js";
import { NativeMemory } from "../../device/native/memory.js";
import type { Graph, NodeId, TensorType, ValueId } from "../../graph/node.js";
import { hasTrait, referenceOf, type RefTensor } from "../../graph/op.js";
import { opOf, ops } from "../../graph/ops.js";
import { tensorsOf } from "../../graph/case.js";
import { allCases } from "../../graph/cases.js";
import { Regions, type Operand, type Region } from "../../graph/region.js";
import { Words } from "../../graph/words.js";
import type { Value } from "../../graph/node.js";
import { isCannot, type Candidate, type Layout, type Provider } from "../provider.js";
import { isView } from "./chain.js";

export const target = cpuTarget(2);
const device: Device = openCpu(target);

/** A graph of one output. */
export function graphOf(build: (g: Words) => Value | Record<string, Value>): Graph {
  const g = new Words("tryout");
  const built = build(g);
  return g.finish(
    "id" in built && typeof built.id === "number" ? { y: built as Value } : (built as Record<string, Value>),
  );
}

/** All working nodes of a graph as one region, or those of the given nodes that do work. */
export function regionOf(graph: Graph, ids?: readonly NodeId[]): Region {
  const regions = new Regions(graph);
  return regions.region(regions.work.map(({ id }) => id).filter((id) => ids?.includes(id) ?? true));
}

/** Builds a region's ops from activations and weights of given shapes. */
export type Build = (g: Words, x: (shape: readonly number[]) => Value, w: (shape: readonly number[]) => Value) => Value;

/** The region of what `build` says. With `free` the activations and the result are made and read inside the graph, so that their layouts are free. */
export function regionOfBuild(
  build: Build,
  { dtype = "f32", free = false }: { dtype?: DType; free?: boolean } = {},
): Region {
  let count = 0;
  const graph = graphOf((g) => {
    const x = (shape: readonly number[]): Value => {
      const input = g.input(`x${count++}`, dtype, shape);
      return free ? g.neg(input) : input;
    };
    const built = build(g, x, (shape) => g.weight(`w${count++}`, dtype, shape));
    return free ? g.neg(built) : built;
  });
  return regionOf(graph, graph.nodes.filter(({ op }) => op !== "neg").map(({ id }) => id)); // prettier-ignore
}

/** Random values of an operand; indices stay in range, constants are what they are. */
function valuesOf(region: Region, operand: Operand, seed: number): RefTensor {
  const source = region.graph.sources.get(operand.value);
  const data = new Float64Array(sizeOf(operand.shape));
  if (source?.kind === "constant") data.set(source.data);
  else if (operand.dtype === "i32" || operand.dtype === "i64") data.forEach((_, i) => (data[i] = (i * 7 + seed) % 3));
  else fillUniform(data, seed);
  return { dtype: operand.dtype, shape: operand.shape, data: data.map((x) => roundTo(operand.dtype, x)) };
}

function referencesOf(region: Region, inputs: readonly RefTensor[]): readonly RefTensor[] {
  const known = new Map<ValueId, RefTensor>(region.inputs.map((operand, i) => [operand.value, inputs[i]!]));
  for (const node of region.nodes) {
    const outputs = referenceOf(opOf(node), node.params, node.inputs.map((value) => known.get(value)!)); // prettier-ignore
    node.outputs.forEach((value, i) => known.set(value, outputs[i]!));
  }
  return region.outputs.map(({ value }) => known.get(value)!);
}

const GUARD = 16;

/** An operand in native memory, in its own strides or a layout's, poison around and between its elements. */
class Placed {
  readonly memory: NativeMemory;
  readonly strides: Strides;

  constructor(
    readonly type: TensorType,
    strides: Strides,
    layout: Layout,
    data?: Float64Array,
  ) {
    this.strides = layout ? denseStrides(type.shape, layout) : strides;
    const extent = type.shape.reduce((most, dim, d) => most + (dim - 1) * this.strides[d]!, 1);
    this.memory = new NativeMemory((extent + 2 * GUARD) * dtypeBytes(type.dtype), "poison");
    if (data) this.each((view, at, i) => writeElement(view, type.dtype, at, data[i]!));
  }

  get address(): bigint {
    return this.memory.address + BigInt(GUARD * dtypeBytes(this.type.dtype));
  }

  each(visit: (view: DataView, at: number, index: number) => void): void {
    const view = new DataView(this.memory.view());
    for (let i = 0; i < sizeOf(this.type.shape); i++) {
      visit(view, GUARD + offsetOf(coordinateOf(i, this.type.shape), this.strides), i);
    }
  }

  read(): Float64Array {
    const out = new Float64Array(sizeOf(this.type.shape));
    this.each((view, at, i) => (out[i] = readElement(view, this.type.dtype, at)));
    return out;
  }

  /** Whether anything but the operand's own elements was written. */
  get untouchedOutside(): boolean {
    const bytes = new Uint8Array(this.memory.view()).slice();
    const own = dtypeBytes(this.type.dtype);
    this.each((_view, at) => void bytes.fill(0xff, at * own, (at + 1) * own));
    return bytes.every((byte) => byte === 0xff);
  }
}

/** What the region's ops allow in sum. */
export function toleranceOf(region: Region): number {
  const { values } = region.graph;
  return region.nodes
    .filter((node) => !isView(node))
    .reduce((sum, node) => {
      const inputs = node.inputs.map((value) => values[value]!);
      return sum + opOf(node).tolerance(node.params, inputs, values[node.outputs[0]!]!.dtype);
    }, 0);
}

/** A seed for random values, or the values themselves. */
type Given = number | ReadonlyMap<ValueId, RefTensor>;

/** Builds, packs, binds and runs a candidate; asserts its values, guard zones and each alias it allows. */
export async function tryCandidate(region: Region, candidate: Candidate, given: Given): Promise<number> {
  const kernel = await candidate.build();
  const values = region.inputs.map((operand, i) =>
    typeof given === "number" ? valuesOf(region, operand, given + i) : given.get(operand.value)!,
  );
  const references = referencesOf(region, values);
  const inputs = region.inputs.map((operand, i) => {
    const pack = candidate.packs.findIndex(({ input }) => input === i);
    const placed = new Placed(operand, operand.strides, candidate.layouts.inputs[i], values[i]!.data);
    if (pack < 0) return placed;
    const packed = new NativeMemory(candidate.packs[pack]!.bytes, "poison");
    kernel.pack(pack, placed.address, packed.address);
    placed.memory.fill("poison"); // the original must not be read any more
    return { address: packed.address, memory: packed };
  });
  const workspace = new NativeMemory(candidate.workspaceBytes, "poison");
  let worst = 0;
  for (const alias of [undefined, ...candidate.aliases]) {
    const outputs = region.outputs.map(
      (operand, i) => new Placed(operand, operand.strides, candidate.layouts.outputs[i]),
    );
    if (alias) {
      const data = values[alias.input]!.data;
      outputs[alias.output]!.each((view, at, i) => writeElement(view, outputs[alias.output]!.type.dtype, at, data[i]!));
    }
    const addresses = inputs.map(({ address }, i) => (alias?.input === i ? outputs[alias.output]!.address : address));
    const binding = { inputs: addresses, outputs: outputs.map((o) => o.address), workspace: workspace.address };
    const program = device.program(kernel.bind(binding));
    await program.run();
    outputs.forEach((output, i) => {
      const { error } = rowError(output.read(), references[i]!.data, references[i]!.shape);
      const where = `${candidate.provider} ${candidate.id}${alias ? ` in place of input ${alias.input}` : ""}`;
      assert.ok(error <= toleranceOf(region), `${where}: error ${error} above ${toleranceOf(region)}`);
      assert.ok(output.untouchedOutside, `${where}: wrote outside its output`);
      worst = Math.max(worst, error);
    });
    program.dispose();
  }
  kernel.dispose();
  return worst;
}

/** Runs all candidates of a region and revives each from its stored choice; returns their ids. */
export async function tryRegion(provider: Provider, region: Region, given: Given = 1): Promise<readonly string[]> {
  const candidates = provider.candidates(region, "full");
  assert.ok(!isCannot(candidates), isCannot(candidates) ? candidates.cannot : "");
  for (const candidate of candidates) {
    await tryCandidate(region, candidate, given);
    const { provider: name, id, params } = candidate;
    const choice = JSON.parse(JSON.stringify({ provider: name, id, params })) as typeof candidate;
    const revived = provider.revive(region, choice);
    assert.ok(!isCannot(revived));
    const facts = ({ build: _build, ...rest }: Candidate): object => rest;
    assert.deepEqual(facts(revived), facts(candidate));
    await tryCandidate(region, revived, typeof given === "number" ? given + 10 : given);
  }
  return candidates.map(({ id }) => id);
}

/**
 * Runs every case of every op that the provider takes, with float operands beyond the first as weights; `refused` gets
 * the titles of the others with the reason. Returns the number of candidates run.
 */
export async function tryCases(
  provider: Provider,
  dtype: DType,
  refused: Map<string, string> = new Map<string, string>(),
): Promise<number> {
  let count = 0;
  for (const example of allCases) {
    const op = ops.get(example.op)!;
    if (hasTrait(op, "view")) continue;
    const tensors = tensorsOf(example, dtype);
    const graph = graphOf((g) => {
      const inputs = tensors.map((tensor, i) =>
        i > 0 && isFloat(tensor.dtype) && WEIGHTED.has(example.op)
          ? g.weight(`w${i}`, tensor.dtype, tensor.shape)
          : g.input(`x${i}`, tensor.dtype, tensor.shape),
      );
      return g.apply(op, example.params, inputs)[0]!;
    });
    const title = `${example.op}: ${example.title}`;
    const region = regionOf(graph);
    const candidates = provider.candidates(region, "quick");
    if (isCannot(candidates)) {
      refused.set(title, candidates.cannot);
      continue;
    }
    const given = new Map(region.inputs.map(({ value }) => [value, tensors[graph.nodes[0]!.inputs.indexOf(value)]!]));
    for (const candidate of candidates) {
      await tryCandidate(region, candidate, given).catch((error: unknown) => {
        throw new Error(`${title}: ${messageOf(error)}`, { cause: error });
      });
      count++;
    }
  }
  return count;
}

/** Ops whose later float operands are weights in models. */
const WEIGHTED: ReadonlySet<string> = new Set(["linear", "conv2d", "layer_norm", "rms_norm", "group_norm"]);
