// What a product's epilogue does to heads that lie whole inside its tile: sums of a head's elements in a thread's rows, then
// the ops that follow, in the accumulators, before the head is stored.
import { isConstant, type ReduceOp, type ValueId, type ValueOp } from "../../tile/program.js";
import type { FragmentLines, FragmentWriter, Half, Leaf } from "./fragment.js";
import { IDENTITY, operandsOf } from "./row-work.js";
import type { OutputPlace, StoredValue } from "./store.js";

/** Which pair of a head's elements this thread has. */
export const PAIR = "        const int pair = part * 32 + j * 4 + (lane & 3);\n";

/**
 * What is done to a head's accumulators first, a bias perhaps, where sums and results both go on from there: it takes
 * their place, for to read and do it twice costs registers. And the ops that are left.
 */
function firstStep(writer: FragmentWriter, ops: readonly ValueOp[], width: number): { readonly lines: readonly string[]; readonly rest: readonly ValueOp[] } | undefined {
  const [[accumulator, at]] = [...writer.leaves] as [[ValueId, Leaf]];
  const [step, ...more] = ops.filter((op) => operandsOf(op).includes(accumulator));
  if (!step || more.length > 0 || step.kind !== "binary" || step.dtype !== "f32" || writer.reach(step.id) !== "full") return undefined; // prettier-ignore
  const own = new Set<ValueId>([step.id]);
  for (const op of ops.toReversed()) {
    const readers = ops.filter((other) => operandsOf(other).includes(op.id));
    if (op.kind !== "reduce" && readers.length > 0 && readers.every(({ id }) => own.has(id))) own.add(op.id);
  }
  const { tile, group } = writer.lines(ops.filter(({ id }) => own.has(id)));
  if (tile.length > 0) return undefined;
  writer.leaves.set(step.id, at);
  return {
    lines: overHead(width, [...group, ...FOUR.map(([row, col]) => `${at(row, col)} = v${step.id}_r${row}c${col};`)]),
    rest: ops.filter(({ id }) => !own.has(id)),
  };
} // prettier-ignore

/**
 * The loop over a tile's heads up to what is stored, and what is left to do to a group of columns there. Where tables stand in
 * the buffers that results take, all heads are done, in the accumulators, before any is stored. A head that another block
 * stores, or that there is none of, is passed over.
 */
export function headsText(writer: FragmentWriter, { id, ops }: StoredValue, place: OutputPlace, heads: NonNullable<OutputPlace["heads"]>): { readonly text: string; readonly group: readonly string[] } {
  const apart = (place.tables?.length ?? 0) > 0;
  const first = firstStep(writer, ops, heads.width);
  const { tile, group } = headLines(writer, first?.rest ?? ops, id, heads.width, apart);
  const loop = `#pragma unroll
    for (int head = 0; head < ${place.columns / heads.width}; ++head) {${place.skip ? `\n      if (${place.skip}) continue;` : ""}
`;
  const done = `      const int live_head = min(${heads.first} + head, ${heads.count} - 1);
${[...(first?.lines ?? []), ...tile].map((line) => `      ${line}\n`).join("")}`;
  return { text: apart ? `${loop}${done}    }\n    __syncwarp();\n${loop}` : `${loop}${done}`, group };
} // prettier-ignore

/**
 * What is done to a head: lines before its columns, and those of a group of columns. `inPlace`, all of it comes before, its
 * results in the accumulators' place. So it does where the result is something for some heads and the accumulators, as they are,
 * for the others, and it is not computed for the others.
 */
function headLines(writer: FragmentWriter, ops: readonly ValueOp[], result: ValueId, width: number, inPlace: boolean): FragmentLines {
  const all = (some: readonly ValueOp[]): FragmentLines => writer.lines(some, (op) => rowSum(writer, op, ops, width));
  if (writer.leaves.has(result)) return all(ops);
  const replacing = (some: readonly ValueOp[], chosen: ValueId, at: Leaf): readonly string[] => {
    const { tile, group } = all(some);
    return [...tile, ...overHead(width, [...group, ...FOUR.map(([row, col]) => `${at(row, col)} = ${writer.variable(chosen, row, col)};`)])]; // prettier-ignore
  };
  const inTheirPlace = (tile: readonly string[], at: Leaf): FragmentLines => {
    writer.leaves.set(result, at);
    return { tile, group: [] };
  };
  const [[, accumulators]] = [...writer.leaves] as [[ValueId, Leaf]];
  const last = ops.find(({ id }) => id === result);
  if (last?.kind !== "where" || isConstant(last.x) || isConstant(last.y) || !writer.leaves.has(last.y) || writer.reach(last.mask) !== "scalar")
    return inPlace ? inTheirPlace(replacing(ops, result, accumulators), accumulators) : all(ops);
  const choosing = new Set<ValueId>([last.mask]);
  for (const op of ops.toReversed()) if (choosing.has(op.id)) for (const id of operandsOf(op)) choosing.add(id);
  const at = writer.leaves.get(last.y)!;
  return inTheirPlace([
    ...all(ops.filter(({ id }) => choosing.has(id))).tile,
    `if (${writer.variable(last.mask, 0, 0)}) {`,
    ...replacing(ops.filter((op) => op !== last && !choosing.has(op.id)), last.x, at).map((line) => `  ${line}`),
    "}",
  ], at);
} // prettier-ignore

const FOUR = [[0, 0], [0, 1], [1, 0], [1, 1]] as const; // prettier-ignore

/** Statements for each group of a head's columns. */
const overHead = (width: number, body: readonly string[]): readonly string[] => [
  "#pragma unroll",
  `for (int part = 0; part < ${width / 64}; ++part) {`,
  `  const int slice = head * ${width / 64} + part;`,
  "#pragma unroll",
  "  for (int j = 0; j < 8; ++j) {",
  PAIR.trimEnd(),
  ...body.map((line) => `        ${line}`),
  "  }",
  "}",
];

/** A sum, or the like, of a head's elements in each of a thread's rows: first those of the thread, then of the four that share the rows. */
function rowSum(writer: FragmentWriter, op: ReduceOp, ops: readonly ValueOp[], width: number): readonly string[] {
  const fn = op.fn as keyof typeof IDENTITY;
  const join = (a: string, b: string): string => fn === "sum" || fn === "mean" ? `${a} + ${b}` : `${fn === "max" ? "fmaxf" : "fminf"}(${a}, ${b})`; // prettier-ignore
  const needed = new Set<ValueId>([op.x]);
  for (const before of ops.toReversed()) if (needed.has(before.id)) for (const id of operandsOf(before)) needed.add(id);
  const { group } = writer.lines(ops.filter(({ id, kind }) => needed.has(id) && kind !== "reduce"));
  const rows = [0, 1] as const;
  const name = (row: Half): string => writer.variable(op.id, row, 0);
  return [
    ...rows.map((row) => `float ${name(row)} = ${IDENTITY[fn]};`),
    ...overHead(width, [
      ...group,
      ...rows.map((row) => `${name(row)} = ${join(name(row), `(${join(writer.variable(op.x, row, 0), writer.variable(op.x, row, 1))})`)};`), // prettier-ignore
    ]),
    ...rows.flatMap((row) => [1, 2].map((lanes) => `${name(row)} = ${join(name(row), `__shfl_xor_sync(~0u, ${name(row)}, ${lanes})`)};`)), // prettier-ignore
    ...(fn === "mean" ? rows.map((row) => `${name(row)} *= ${1 / width}f;`) : []),
  ];
}
