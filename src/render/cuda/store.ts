// The way out of an accumulator: per group of columns the epilogue's ops, then stmatrix into a warp's own staging
// buffer and a TMA store of 16 rows × 64 columns; f32 results, and tiles of other widths, go straight to memory in pairs.
import { STAGING_BYTES } from "../../lower/cuda/schedule.js";
import {
  isConstant,
  type LoadOp,
  type ReduceOp,
  type StoreOp,
  type ValueId,
  type ValueOp,
} from "../../tile/program.js";
import type { FragmentLines, FragmentWriter, Half, Leaf } from "./fragment.js";
import { operandsOf } from "./row-work.js";

export interface OutputText {
  /** Statements once a tile, before the columns. */
  readonly tile: readonly string[];
  /** Statements that write `columns` columns. */
  readonly columns: string;
}

export interface OutputPlace {
  /** Columns of the accumulator, a multiple of 8; of 64 where results are staged. */
  readonly columns: number;
  /** Text of the first column's position, and of the warp's first row's. */
  readonly firstColumn: string;
  readonly firstRow: string;
  /** Size texts, to clamp dead elements. */
  readonly columnSize: string;
  readonly rowSize: string;
  /** Staging buffers a warp takes turns with; 0: results go straight to memory. */
  readonly buffers: 0 | 1 | 2;
  /** A load whose values already stand in the staging buffers, one for every slab and slice. */
  readonly prefetched?: LoadOp | undefined;
  /** Tables over rows and pairs that stand there, a box of 32 pairs a buffer, one table after another. */
  readonly tables?: readonly LoadOp[];
  /** Buffers of a slab, where something was fetched into them. */
  readonly slabBuffers?: number;
  /** Coordinates after row and column in the output's map. */
  readonly outer: readonly string[];
  /** The condition under which a slice is another block's. */
  readonly skip?: string | undefined;
  /** Columns that are heads: how wide each is, a multiple of 64, where the first stands and how many there are; `parts`, where they go to several tensors: how many to each, in order. */
  readonly heads?:
    | { readonly width: number; readonly first: string; readonly count: string; readonly parts: readonly number[] }
    | undefined;
}

interface StoredValue {
  readonly id: ValueId;
  readonly ops: readonly ValueOp[];
}

/** A cast that is the stored value needs no rounding of its own: packing rounds. */
function storedValue(store: StoreOp, ops: readonly ValueOp[]): StoredValue {
  const last = ops.find((op) => op.id === store.value);
  return last?.kind === "cast" && (last.dtype === "bf16" || last.dtype === "f16" || last.dtype === "f32")
    ? { id: last.x, ops: ops.filter((op) => op !== last) }
    : { id: store.value, ops };
}

export function outputText(
  writer: FragmentWriter,
  store: StoreOp,
  ops: readonly ValueOp[],
  place: OutputPlace,
): OutputText {
  const dtype = writer.values.get(store.value)!.dtype;
  const value = storedValue(store, ops);
  const { prefetched } = place;
  if (prefetched)
    writer.leaves.set(prefetched.id, (row, col) => `${col === 0 ? "low" : "high"}_${prefetched.dtype}(held${row})`);
  const held = prefetched
    ? [0, 1].map((row) => `        const u32 held${row} = shared_word(buffer + ${heldAt(row as Half)});\n`).join("")
    : "";
  const { heads, tables = [] } = place;
  const perHead = heads ? heads.width / 64 : 0;
  const { slabBuffers = place.columns / 64 } = place;
  const buffer = `staging + (slab * ${slabBuffers} + slice) * ${STAGING_BYTES}`;
  tables.forEach((load, i) =>
    writer.held.set(load.id, (row) => `shared_float(staging + (slab * ${slabBuffers} + ${i * perHead} + part) * ${STAGING_BYTES} + ${heldAt(row)})`)); // prettier-ignore
  const ofHeads = heads && headsText(writer, value, place, heads);
  const lines: FragmentLines = ofHeads ? { tile: [], group: ofHeads.group } : writer.lines(value.ops);
  const at = (row: Half, col: Half): string => writer.variable(value.id, row, col);
  const indent = lines.group.map((line) => `        ${line}\n`).join("");
  const columnsOfGroup = heads
    ? lines.group.length > 0
      ? PAIR
      : ""
    : `        const int col0 = ${place.firstColumn} + slice * 64 + j * 8 + (lane & 3) * 2, col1 = col0 + 1;
        const int live_col0 = min(col0, ${place.columnSize} - 2), live_col1 = live_col0 + 1;
`;
  const tile = [
    `const int row0 = ${place.firstRow} + (lane >> 2), row1 = row0 + 8;`,
    `const int live_row0 = min(row0, ${place.rowSize} - 1), live_row1 = min(row1, ${place.rowSize} - 1);`,
    ...lines.tile,
  ];
  if (place.buffers === 0) {
    const rank = 2 + place.outer.length;
    const outer = place.outer.map((point, dim) => `${point} * stride_${store.tensor}_${dim} + `).join("");
    const pair = (row: Half): string => dtype === "f32" ? `make_float2(${at(row, 0)}, ${at(row, 1)})` : `pack_${dtype}(${at(row, 0)}, ${at(row, 1)})`; // prettier-ignore
    const pairs = ([0, 1] as const)
      .map(
        (row) =>
          `        if (row${row} < ${place.rowSize} && col0 < ${place.columnSize}) *(${dtype === "f32" ? "float2" : "u32"}*)(at_${store.tensor} + ${outer}row${row} * stride_${store.tensor}_${rank - 2} + col0) = ${pair(row)};\n`,
      )
      .join("");
    return {
      tile,
      columns: `#pragma unroll
    for (int slice = 0; slice < ${Math.ceil(place.columns / 64)}; ++slice) {${place.skip ? `\n      if (${place.skip}) continue;` : ""}
#pragma unroll
      for (int j = 0; j < 8; ++j) {${place.columns % 64 === 0 ? "" : `\n        if (slice * 8 + j >= ${place.columns / 8}) break;`}
${columnsOfGroup}${indent}${pairs}      }
    }
`,
    };
  }
  const dims = 2 + place.outer.length;
  const isDealt = heads !== undefined && heads.parts.length > 1;
  const column = heads ? ["part * 64", place.firstRow, isDealt ? "to_head" : `${heads.first} + head`] : [`${place.firstColumn} + slice * 64`, place.firstRow]; // prettier-ignore
  const coordinates = [...column, ...place.outer].join(", ");
  const skip = place.skip ? `\n      if (${place.skip}) continue;` : "";
  const isAhead = prefetched !== undefined || tables.length > 0;
  const slices = heads
    ? `${ofHeads!.text}#pragma unroll
      for (int part = 0; part < ${perHead}; ++part) {
      const int slice = head * ${perHead} + part;`
    : `#pragma unroll
    for (int slice = 0; slice < ${place.columns / 64}; ++slice) {${skip}`;
  return {
    tile,
    columns: `${slices}
${
  isAhead
    ? `      const u32 buffer = ${buffer};`
    : `      const u32 buffer = staging${place.buffers === 2 ? ` + (${countsStores(place) ? "stored++" : "slice"} & 1) * ${STAGING_BYTES}` : ""};
      if (lane == 0) store_wait_read<${place.buffers - 1}>();
      __syncwarp();`
}
      u32 packed[8][2];
#pragma unroll
      for (int j = 0; j < 8; ++j) {
${columnsOfGroup}${held}${indent}        packed[j][0] = pack_${dtype}(${at(0, 0)}, ${at(0, 1)});
        packed[j][1] = pack_${dtype}(${at(1, 0)}, ${at(1, 1)});
      }${prefetched ? "\n      __syncwarp();" : ""}
#pragma unroll
      for (int j = 0; j < 8; j += 2)
        store_matrix_x4(buffer + matrix_row * 128 + (((j + (lane >> 4)) ^ (matrix_row & 7)) << 4), packed[j][0], packed[j][1], packed[j + 1][0], packed[j + 1][1]);
      fence_async();
      __syncwarp();
      if (lane == 0) {
${isDealt ? dealtText(store.tensor, `${heads.first} + head`, heads.parts) : ""}        store_${dims + (heads ? 1 : 0)}d(${isDealt ? "to_map" : `&map_${store.tensor}`}, buffer, ${coordinates});
        store_commit();
      }
    }${heads ? "\n    }" : ""}
`,
  };
}

/** The tensor that a result's part lies in. */
export const pieceName = (tensor: string, piece: number): string => `${tensor}_${piece}`;

/** The map of the tensor that a head goes to, and its place there. Heads after the last fall outside of the last tensor. */
function dealtText(tensor: string, head: string, parts: readonly number[]): string {
  let start = 0;
  const ends = parts.map((count) => (start += count));
  const chosen = (of: (piece: number) => string): string =>
    parts.map((_, i) => (i === parts.length - 1 ? of(i) : `${head} < ${ends[i]} ? ${of(i)} : `)).join("");
  return `        const TensorMap* to_map = ${chosen((i) => `&map_${pieceName(tensor, i)}`)};
        const int to_head = ${head} - (${chosen((i) => String(ends[i]! - parts[i]!))});
`;
}

/** Whether two buffers are taken in turn by a count, in a variable `stored`, as slices do not alternate from tile to tile. */
export const countsStores = ({ columns, skip, buffers, tables }: OutputPlace): boolean =>
  buffers === 2 && !tables?.length && (skip !== undefined || (columns / 64) % 2 === 1);

/** Which pair of a head's elements this thread has. */
const PAIR = "        const int pair = part * 32 + j * 4 + (lane & 3);\n";
const IDENTITY = { sum: "0.f", mean: "0.f", max: "__int_as_float(0xff800000)", min: "__int_as_float(0x7f800000)" };

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
function headsText(writer: FragmentWriter, { id, ops }: StoredValue, place: OutputPlace, heads: NonNullable<OutputPlace["heads"]>): { readonly text: string; readonly group: readonly string[] } {
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

/** Where, in a buffer of 16 rows × 128 bytes, this thread's word of a group of columns stands. */
const heldAt = (row: Half): string => `((lane >> 2) + ${8 * row}) * 128 + ((j ^ (lane >> 2)) << 4) + (lane & 3) * 4`;

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

/** The row of the staging buffer whose address this lane gives to stmatrix. */
export const MATRIX_ROW = "const int matrix_row = (lane & 7) + ((lane >> 3) & 1) * 8;";
