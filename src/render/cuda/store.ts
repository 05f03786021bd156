// The way out of an accumulator: per group of columns the epilogue's ops, then stmatrix into a warp's own staging
// buffer and a TMA store of 16 rows × 64 or 32 columns; f32 results, and tiles of other widths, go straight to memory in pairs.
import { bufferBytes, STAGING_BYTES } from "../../lower/cuda/schedule.js";
import type { LoadOp, StoreOp, ValueId, ValueOp } from "../../tile/program.js";
import type { FragmentLines, FragmentWriter, Half } from "./fragment.js";
import { headsText, PAIR } from "./heads.js";
import { momentsText, type MomentsPlace } from "./moments.js";

export interface OutputText {
  /** Statements once a tile, before the columns. */
  readonly tile: readonly string[];
  /** Statements that write `columns` columns. */
  readonly columns: string;
}

export interface OutputPlace {
  /** Columns of the accumulator, a multiple of 8; of its parts where results are staged. */
  readonly columns: number;
  /** Text of the first column's position, and of the warp's first row's. */
  readonly firstColumn: string;
  readonly firstRow: string;
  /** Size texts, to clamp dead elements. */
  readonly columnSize: string;
  readonly rowSize: string;
  /** Staging buffers a warp takes turns with; 0: results go straight to memory. */
  readonly buffers: 0 | 1 | 2;
  /** Columns of the parts that leave by a buffer each. */
  readonly part: 64 | 32;
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
  /** Moments of the results over a warp's rows and groups of columns, of staged results without heads. */
  readonly moments?: MomentsPlace | undefined;
  /** Columns that are heads: how wide each is, a multiple of 64, where the first stands and how many there are; `parts`, where they go to several tensors: how many to each, in order. */
  readonly heads?:
    | { readonly width: number; readonly first: string; readonly count: string; readonly parts: readonly number[] }
    | undefined;
}

export interface StoredValue {
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
  const { prefetched, part, slabBuffers = place.columns / part } = place;
  if (prefetched)
    writer.leaves.set(prefetched.id, (row, col) => `${col === 0 ? "low" : "high"}_${prefetched.dtype}(held${row})`);
  const held = prefetched
    ? [0, 1]
        .map((row) => `        const u32 held${row} = shared_word(buffer + ${heldAt(row as Half, part)});\n`)
        .join("")
    : "";
  const { heads, tables = [] } = place;
  const perHead = heads ? heads.width / 64 : 0;
  const bytes = bufferBytes(part);
  const groups = part / 8;
  const buffer = `staging + (slab * ${slabBuffers} + slice) * ${bytes}`;
  tables.forEach((load, i) =>
    writer.held.set(load.id, (row) => `shared_float(staging + (slab * ${slabBuffers} + ${i * perHead} + part) * ${STAGING_BYTES} + ${heldAt(row, 64)})`)); // prettier-ignore
  const ofHeads = heads && headsText(writer, value, place, heads);
  const lines: FragmentLines = ofHeads ? { tile: [], group: ofHeads.group } : writer.lines(value.ops);
  const at = (row: Half, col: Half): string => writer.variable(value.id, row, col);
  const moments = place.moments && momentsText(place.moments, at);
  const indent = lines.group.map((line) => `        ${line}\n`).join("");
  const columnsOfGroup = heads
    ? lines.group.length > 0
      ? PAIR
      : ""
    : `        const int col0 = ${place.firstColumn} + slice * ${part} + j * 8 + (lane & 3) * 2, col1 = col0 + 1;
        const int live_col0 = min(col0, ${place.columnSize} - 2), live_col1 = live_col0 + 1;
`;
  const tile = [
    `const int row0 = ${place.firstRow} + (lane >> 2), row1 = row0 + 8;`,
    `const int live_row0 = min(row0, ${place.rowSize} - 1), live_row1 = min(row1, ${place.rowSize} - 1);`,
    ...lines.tile,
    ...(moments?.slab ?? []),
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
  const column = heads ? ["part * 64", place.firstRow, isDealt ? "to_head" : `${heads.first} + head`] : [`${place.firstColumn} + slice * ${part}`, place.firstRow]; // prettier-ignore
  const coordinates = [...column, ...place.outer].join(", ");
  const skip = place.skip ? `\n      if (${place.skip}) continue;` : "";
  const isAhead = prefetched !== undefined || tables.length > 0;
  const slices = heads
    ? `${ofHeads!.text}#pragma unroll
      for (int part = 0; part < ${perHead}; ++part) {
      const int slice = head * ${perHead} + part;`
    : `#pragma unroll
    for (int slice = 0; slice < ${place.columns / part}; ++slice) {${skip}`;
  return {
    tile,
    columns: `${slices}
${
  isAhead
    ? `      const u32 buffer = ${buffer};`
    : `      const u32 buffer = staging${place.buffers === 2 ? ` + (${countsStores(place) ? "stored++" : "slice"} & 1) * ${bytes}` : ""};
      if (lane == 0) store_wait_read<${place.buffers - 1}>();
      __syncwarp();`
}
${moments?.before ?? ""}      u32 packed[${groups}][2];
#pragma unroll
      for (int j = 0; j < ${groups}; ++j) {
${columnsOfGroup}${held}${indent}        packed[j][0] = pack_${dtype}(${at(0, 0)}, ${at(0, 1)});
        packed[j][1] = pack_${dtype}(${at(1, 0)}, ${at(1, 1)});
${moments?.group ?? ""}      }${prefetched ? "\n      __syncwarp();" : ""}
#pragma unroll
      for (int j = 0; j < ${groups}; j += 2)
        store_matrix_x4(buffer + ${inBuffer("matrix_row", "(j + (lane >> 4))", part)}, packed[j][0], packed[j][1], packed[j + 1][0], packed[j + 1][1]);
      fence_async();
      __syncwarp();
      if (lane == 0) {
${isDealt ? dealtText(store.tensor, `${heads.first} + head`, heads.parts) : ""}        store_${dims + (heads ? 1 : 0)}d(${isDealt ? "to_map" : `&map_${store.tensor}`}, buffer, ${coordinates});
        store_commit();
      }
${moments?.behind ?? ""}    }${heads ? "\n    }" : ""}
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
export const countsStores = ({ columns, part, skip, buffers, tables }: OutputPlace): boolean =>
  buffers === 2 && !tables?.length && (skip !== undefined || (columns / part) % 2 === 1);

/** Where eight columns of a row stand in a buffer, as transfers of rows of 128 or 64 bytes swizzle them. */
const inBuffer = (row: string, group: string, part: OutputPlace["part"]): string =>
  part === 64
    ? `${row} * 128 + ((${group} ^ (${row} & 7)) << 4)`
    : `${row} * 64 + ((${group} ^ (${row} >> 1 & 3)) << 4)`;

/** Where this thread's word of a group of columns stands. */
const heldAt = (row: Half, part: OutputPlace["part"]): string =>
  `${inBuffer(`((lane >> 2) + ${8 * row})`, "j", part)} + (lane & 3) * 4`;

/** The row of the staging buffer whose address this lane gives to stmatrix. */
export const MATRIX_ROW = "const int matrix_row = (lane & 7) + ((lane >> 3) & 1) * 8;";
