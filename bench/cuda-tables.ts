// Our products and attention beside cuBLASLt and cuDNN on one GPU: squares of 512 to 8192, FLUX.1's own sizes, alone and
// with what follows them, its decoder's convolutions, attention over lengths and depths; and such convolutions with a group
// norm beside our own two, one after the other. usage:
// node dist/bench/cuda-tables.js [--out FOLDER] [--only products,regions,convolutions,norms,attention,repeats]
// [--case PART_OF_A_TITLE] [--all] [--quick] [--joules]; rows are added to the folder's tables.csv as they come. --joules:
// the finalists, with --all everybody, for 0.7 s each at the power limit.
import { appendFileSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { messageOf } from "../src/core/error.js";
import { openMachine } from "../src/compile/machine.js";
import type { DType } from "../src/core/dtype.js";
import type { Graph, NodeId, Value, ValueId } from "../src/graph/node.js";
import { Regions } from "../src/graph/region.js";
import { Words } from "../src/graph/words.js";
import { isCannot, type Candidate, type Provider } from "../src/provider/provider.js";
import { rewriteGraph } from "../src/rewrite/passes.js";
import { Arena, type Entrant } from "./cuda/bench-region.js";
import { energyCounter } from "./cuda/energy.js";

const { values: flags } = parseArgs({
  options: { out: { type: "string", default: "out/cuda" }, only: { type: "string" }, case: { type: "string" }, all: { type: "boolean" }, quick: { type: "boolean" }, joules: { type: "boolean" } },
}); // prettier-ignore
const wants = (part: string): boolean => !flags.only || flags.only.split(",").includes(part);
/** Long enough for the power limit to set the clocks. */
const SUSTAINED_SECONDS = 0.7;
const effort = flags.quick ? "quick" : "full";

/** "norm": columns are query, key and value of heads, query and key of which are normed; "turn": and turned. */
type Epilogue = "none" | "gelu" | "gate" | "norm" | "turn";
interface ProductCase {
  readonly kind: "product";
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly dtype: DType;
  readonly epilogue: Epilogue;
  readonly bias: boolean;
}
interface AttentionCase {
  readonly kind: "attention";
  readonly length: number;
  readonly depth: number;
}
/** Of square pictures, square filters, stride 1; with bias, and a picture that is added, or not; of a picture doubled before; normed behind, with SiLU. */
interface ConvCase {
  readonly kind: "conv";
  readonly channels: number;
  readonly filters: number;
  readonly side: number;
  readonly taps: 1 | 3;
  readonly residual: boolean;
  readonly doubled?: boolean;
  readonly normed?: true;
}
type Case = ProductCase | AttentionCase | ConvCase;

const product = (m: number, n: number, k: number, dtype: DType = "bf16", epilogue: Epilogue = "none", bias = false): ProductCase => ({
  kind: "product", m, n, k, dtype, epilogue, bias,
}); // prettier-ignore

/** Of the decoder's norms. */
const GROUPS = 32;
/** Rows of the picture, the text and both. */
const [PICTURE, TEXT, JOINT] = [4096, 256, 4352];
const SQUARES = [512, 1024, 2048, 4096, 8192];
const FLUX: readonly (readonly [number, number, number, Epilogue])[] = [
  [PICTURE, 9216, 3072, "none"], [TEXT, 9216, 3072, "none"], [JOINT, 9216, 3072, "none"],
  [PICTURE, 12288, 3072, "gelu"], [TEXT, 12288, 3072, "gelu"], [JOINT, 12288, 3072, "gelu"],
  [PICTURE, 3072, 3072, "gate"], [TEXT, 3072, 3072, "gate"],
  [PICTURE, 3072, 12288, "gate"], [TEXT, 3072, 12288, "gate"], [JOINT, 3072, 15360, "gate"],
]; // prettier-ignore
/** The decoder's: the first of a block, the second, and where the number of channels changes, the one that bypasses both; of the latents and to pixels; behind upsamplings. */
const DECODER: readonly ConvCase[] = [...([
  [512, 512, 128, 3, false], [512, 512, 256, 3, false], [512, 256, 512, 3, false], [256, 256, 512, 3, false], [256, 128, 1024, 3, false], [128, 128, 1024, 3, false],
  [512, 512, 128, 3, true], [512, 512, 256, 3, true], [256, 256, 512, 3, true], [128, 128, 1024, 3, true],
  [512, 256, 512, 1, false], [256, 128, 1024, 1, false], [16, 512, 128, 3, false], [128, 3, 1024, 3, false],
] as const).map(([channels, filters, side, taps, residual]): ConvCase => ({ kind: "conv", channels, filters, side, taps, residual })),
  ...([[512, 128], [512, 256], [256, 512]] as const).map(([channels, side]): ConvCase => ({ kind: "conv", channels, filters: channels, side, taps: 3, residual: false, doubled: true })),
]; // prettier-ignore
const HEADS = 24;
const LENGTHS = [1024, 2048, 4096, JOINT, 8192, 16384];
const DEPTHS = [64, 128, 256];
const REPEATS = 10_000;

const SETS: Readonly<Record<string, readonly Case[]>> = {
  products: [
    ...(["bf16", "f16"] as const).flatMap((dtype) => SQUARES.map((size) => product(size, size, size, dtype))),
    ...FLUX.map(([m, n, k]) => product(m, n, k)),
  ],
  regions: [
    ...FLUX.filter(([, , , epilogue]) => epilogue !== "none").map(([m, n, k, epilogue]) => product(m, n, k, "bf16", epilogue, true)), // prettier-ignore
    ...([[PICTURE, "turn"], [TEXT, "norm"], [JOINT, "turn"]] as const).map(([m, epilogue]) => product(m, 9216, 3072, "bf16", epilogue, true)), // prettier-ignore
  ],
  convolutions: DECODER,
  norms: DECODER.filter(({ taps, filters }) => taps === 3 && filters % GROUPS === 0).map((c): ConvCase => ({
    ...c,
    normed: true,
  })),
  attention: DEPTHS.flatMap((depth) => LENGTHS.map((length): AttentionCase => ({ kind: "attention", length, depth }))),
  repeats: [product(JOINT, 3072, 3072, "bf16", "gate", true), { kind: "attention", length: JOINT, depth: 128 }],
};

using machine = await openMachine({ device: "cuda" });
const { device } = machine;
const providerOf = (name: string): Provider => machine.providers.get(name)!;
console.log(device.target.hardware, JSON.stringify(machine.versions));

/** The work as one graph, its head's node first; the head of heads is a joint product, an alternative to plain ones. */
function graphOf(c: Case): Graph {
  const g = new Words("case");
  if (c.kind === "attention") {
    const [q, k, v] = ["q", "k", "v"].map((name) => g.input(name, "bf16", [1, c.length, HEADS, c.depth]));
    return g.finish({ y: g.attention(q!, k!, v!) });
  }
  if (c.kind === "conv") return convGraph(g, c);
  const { m, n, k, dtype, epilogue } = c;
  if (epilogue === "norm" || epilogue === "turn") return headsGraph(g, c);
  const x = g.input("x", dtype, [1, m, k]);
  const bias = c.bias ? g.weight("bias", dtype, [n]) : undefined;
  let y: Value = g.linear(x, g.weight("w", dtype, [n, k]), bias);
  if (epilogue === "gelu") y = g.geluTanh(y);
  if (epilogue === "gate")
    y = g.add(g.input("residual", dtype, [1, m, n]), g.mul(y, g.input("gate", dtype, [1, 1, n])));
  return g.finish({ y });
}

/** Query, key and value of one input as heads, the first two normed and, perhaps, turned. */
function headsGraph(g: Words, { m, n, k, dtype, epilogue }: ProductCase): Graph {
  const width = n / 3;
  const depth = width / HEADS;
  const x = g.input("x", dtype, [1, m, k]);
  const tables = ["cos", "sin"].map((name) => g.input(name, "f32", [m, depth / 2])) as [Value, Value];
  const parts = ["q", "k", "v"].map((of) => g.linear(x, g.weight(of, dtype, [width, k]), g.weight(`${of}.bias`, dtype, [width]))); // prettier-ignore
  const joint = g.concat(parts, -1);
  const heads = (i: number): Value => g.reshape(g.slice(joint, -1, i * width, width), [1, m, HEADS, depth]);
  const [query, key] = ["q", "k"].map((of, i) => {
    const normed = g.rmsNorm(heads(i), g.weight(`${of}.norm`, dtype, [depth]), 1e-6);
    return epilogue === "turn" ? g.rope(normed, ...tables, "interleaved") : normed;
  });
  return rewriteGraph(g.finish({ query: query!, key: key!, value: heads(2) }));
}

/** A convolution between pointwise ops, so that its pictures' layouts are free. */
function convGraph(g: Words, { channels, filters, side, taps, residual, doubled, normed }: ConvCase): Graph {
  const picture = (name: string, depth: number): Value => g.silu(g.input(name, "bf16", [1, depth, side, side]));
  const w = g.weight("w", "bf16", [filters, channels, taps, taps]);
  const x = doubled ? g.upsampleNearest(picture("x", channels), 2) : picture("x", channels);
  const y = g.conv2d(x, w, g.weight("bias", "bf16", [filters]), { padding: (taps - 1) / 2 });
  const sum = residual ? g.add(picture("residual", filters), y) : y;
  if (!normed) return g.finish({ y: g.silu(sum) });
  const [scale, shift] = ["scale", "shift"].map((name) => g.weight(name, "bf16", [filters])) as [Value, Value];
  const norm = g.silu(g.groupNorm(sum, scale, shift, GROUPS, 1e-6));
  // What is added, or doubled, is read by the next block, too.
  return g.finish({ ...((residual || doubled) && { sum: g.square(sum) }), y: g.square(norm) });
}

/** The nodes that compute a graph's results, the joint product in place of plain ones; a convolution, what it reads doubled, what is added and its norm with SiLU. */
function workOf(regions: Regions): readonly NodeId[] {
  const images = regions.work.filter(({ op, inputs }) =>
    ["upsample_nearest", "conv2d", "add", "group_norm"].includes(op) || regions.writers.get(inputs[0]!)?.op === "group_norm"); // prettier-ignore
  if (images.some(({ op }) => op === "conv2d")) return images.map(({ id }) => id);
  const joint = regions.work.find((node) => regions.providedBy(node).length > 1);
  const others = joint ? new Set(regions.providedBy(joint)) : new Set<ValueId>();
  return regions.work.filter((node) => node === joint || !node.outputs.some((value) => others.has(value))).map(({ id }) => id); // prettier-ignore
}

const titleOf = (c: Case): string =>
  c.kind === "attention"
    ? `attention 1x${HEADS}x${c.length}x${c.depth} bf16`
    : c.kind === "conv"
      ? `conv ${c.taps}x${c.taps} ${c.channels} to ${c.filters} of ${c.side}x${c.side} bf16${c.doubled ? " doubled" : ""} + bias${c.residual ? ", residual" : ""}${c.normed ? ", norm, SiLU" : ""}`
      : `${c.m}x${c.n}x${c.k} ${c.dtype}${c.bias ? " + bias" : ""}${c.epilogue === "gelu" ? ", GELU" : c.epilogue === "gate" ? ", gate, residual" : c.epilogue === "norm" ? ", q/k norm" : c.epilogue === "turn" ? ", q/k norm, RoPE" : ""}`;

const flopsOf = (c: Case): number =>
  c.kind === "attention"
    ? 4 * HEADS * c.length ** 2 * c.depth
    : c.kind === "conv"
      ? (c.doubled ? 8 : 2) * c.side ** 2 * c.taps ** 2 * c.channels * c.filters
      : 2 * c.m * c.n * c.k;

interface Row {
  readonly set: string;
  readonly title: string;
  readonly ours: string;
  readonly us: number;
  readonly tflops: number;
  /** Of the library's first candidate, and of its best; of our own convolution and norm, one after the other. */
  readonly firstUs: number;
  readonly rival: string;
  readonly rivalUs: number;
  /** How many times as fast ours is. */
  readonly speed: number;
  readonly error: number;
}

async function measure(set: string, c: Case): Promise<Row | string> {
  const graph = graphOf(c);
  const regions = new Regions(graph);
  const work = workOf(regions);
  const all = regions.region(work);
  const isNormed = c.kind === "conv" && c.normed === true;
  const rivals = providerOf(isNormed ? "tile" : c.kind === "product" ? "cublaslt" : "cudnn");
  const own = providerOf("tile").candidates(all, effort);
  if (isCannot(own)) return own.cannot;
  const isSkeleton = ({ params }: Candidate): boolean => (params as { way?: string }).way === "skeleton";
  const taps = c.kind === "conv" ? providerOf("cublaslt").candidates(all, effort) : [];
  const ways = [...own.filter(isSkeleton), ...(isCannot(taps) ? [] : taps)];
  if (ways.length === 0) return "there is no skeleton for it";
  // cuDNN adds to a convolution itself, but what is doubled is written first.
  const doubling = c.kind === "conv" && c.doubled && !isNormed ? work.slice(0, 1) : [];
  const head = c.kind === "conv" ? work.slice(doubling.length, isNormed ? -2 : undefined) : work.slice(0, 1);
  const rest = work.slice(doubling.length + head.length);
  const alone = regions.region(head);
  const found = rivals.candidates(alone, effort);
  if (isCannot(found)) return found.cannot;
  const library = isNormed ? found.filter(isSkeleton) : found;
  // Pointwise ops are one kernel, norms and rotations one each.
  const isApart = c.kind === "product" && (c.epilogue === "norm" || c.epilogue === "turn");
  const ofTile = (ids: readonly NodeId[]) => {
    const region = regions.region(ids);
    const candidates = providerOf("tile").candidates(region, "none") as readonly Candidate[];
    return {
      region,
      candidate: candidates.find(({ layouts }) => c.kind === "conv" && layouts.outputs[0]) ?? candidates[0]!,
    };
  };
  const before = doubling.length > 0 ? [ofTile(doubling)] : [];
  const behind = (isApart ? rest.map((id) => [id]) : rest.length > 0 ? [rest] : []).map(ofTile);
  const operands = [all, alone, ...[...before, ...behind].map(({ region }) => region)].flatMap(({ inputs, outputs }) => [...inputs, ...outputs].map(({ value }) => value)); // prettier-ignore
  using arena = new Arena(device, regions, operands);
  const entrants: (Entrant & { readonly side: string })[] = [
    ...ways.map((candidate) => ({ name: `ours: ${candidate.id}`, side: "ours", parts: [{ region: all, candidate }] })),
    ...library.map((candidate, i) => ({ name: `${rivals.name} ${i}: ${candidate.id}`, side: i === 0 ? "first" : "library", parts: [...before, { region: alone, candidate }, ...behind] })),
  ]; // prettier-ignore
  const built = (await Promise.all(
    entrants.map(async (entrant) => {
      const steps = await arena.steps(entrant).catch((error: unknown) => messageOf(error));
      if (typeof steps !== "string") return { ...entrant, steps };
      console.log(`without ${entrant.name}: ${steps}`);
      return undefined;
    }),
  )).filter((entrant) => entrant !== undefined); // prettier-ignore
  const { finals: standings, once } = arena.race(built);
  if (flags.all) for (const { name, us } of once) console.log(`  ${us.toFixed(1).padStart(8)} us  ${name}`);
  const best = (sides: readonly string[]) => standings.find(({ side }) => sides.includes(side))!;
  const [ours, first, rival] = [best(["ours"]), best(["first"]), best(["first", "library"])];
  const stepsOf = (name: string) => built.find((entrant) => entrant.name === name)!.steps;
  if (flags.joules) {
    const counter = energyCounter();
    for (const { name, us } of flags.all ? once : standings) {
      const found = arena.sustained(stepsOf(name), us, counter, SUSTAINED_SECONDS);
      const text = found ? `${found.us.toFixed(1)} us, ${(found.joules * 1e3).toFixed(0)} mJ` : "no joules are counted here"; // prettier-ignore
      console.log(`  ${name}, replay after replay: ${text}`);
    }
  }
  const error = await arena.error(all.outputs.at(-1)!.value, stepsOf(ours.name)[0]!, stepsOf(first.name)[0]!);
  if (set === "repeats") {
    const same = await arena.isRepeatable(all.outputs[0]!.value, stepsOf(ours.name)[0]!, REPEATS);
    console.log(`${titleOf(c)}: ${REPEATS} runs of ${ours.name} ${same ? "give the same bits" : "DIFFER"}`);
  }
  return {
    set, title: titleOf(c), ours: ours.name.slice(6), us: ours.us, tflops: flopsOf(c) / ours.us / 1e6, firstUs: first.us,
    rival: rival.name, rivalUs: rival.us, speed: rival.us / ours.us, error,
  }; // prettier-ignore
}

mkdirSync(flags.out, { recursive: true });
const file = join(flags.out, "tables.csv");
const columns = ["set", "title", "ours", "us", "tflops", "firstUs", "rival", "rivalUs", "speed", "error"] as const;
const cell = (x: string | number): string => (typeof x === "number" ? x.toPrecision(5) : `"${x}"`);
if (!existsSync(file)) writeFileSync(file, `${columns.join()}\n`);

const rows: Row[] = [];
for (const [set, cases] of Object.entries(SETS)) {
  if (!wants(set)) continue;
  for (const c of cases.filter((one) => !flags.case || titleOf(one).includes(flags.case))) {
    const row = await measure(set, c).catch((error: unknown) => messageOf(error));
    if (typeof row === "string") {
      console.log(`${set.padEnd(9)} ${titleOf(c).padEnd(44)} ${row}`);
      continue;
    }
    rows.push(row);
    appendFileSync(file, `${columns.map((name) => cell(row[name])).join()}\n`);
    const { us, tflops, firstUs, rivalUs, speed, error } = row;
    console.log(
      `${set.padEnd(9)} ${row.title.padEnd(44)} ${us.toFixed(1).padStart(8)} us ${tflops.toFixed(0).padStart(4)} TFLOP/s  first ${firstUs.toFixed(1).padStart(8)}  best ${rivalUs.toFixed(1).padStart(8)}  ours ${speed.toFixed(3)} x  error ${error.toExponential(1)}  ${row.ours} | ${row.rival}`,
    );
  }
  const own = rows.filter((row) => row.set === set);
  const mean = (of: (row: Row) => number): number => Math.exp(own.reduce((sum, row) => sum + Math.log(of(row)), 0) / own.length); // prettier-ignore
  const ahead = own.filter(({ speed }) => speed >= 1).length;
  console.log(`${set}: geometric mean ${mean(({ speed }) => speed).toFixed(3)} x the best, ${mean(({ us, firstUs }) => firstUs / us).toFixed(3)} x the first; ahead in ${ahead} of ${own.length}`); // prettier-ignore
}
