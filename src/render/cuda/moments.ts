// Moments of a warp's rows, on their way out of the accumulator: for every group of columns the mean, and the sum of squared
// deviations from it, of the 16 rows together. Sums of elements and of their squares are taken around the group's first
// element, which loses nothing to a large mean; threads have those of their own elements, then lanes are joined two by two,
// always in the same order, and each goes on with half of the groups. Rows that are dead count nothing.
import type { Half } from "./fragment.js";

/** Columns of a group: a part of 64 columns holds whole groups, and a thread whole pairs. */
export const GROUP_WIDTHS: readonly number[] = [2, 4, 8, 16, 32, 64];

/** A helper of the text, in plain C++: N groups of lanes so far apart; the upper lane goes on with the second half. */
export const JOIN_LANES = `template <int N, int M> DEV void join_lanes(float (&around)[M], float (&sum)[M], float (&squares)[M], int far) {
  const bool upper = (threadIdx.x & far) != 0;
#pragma unroll
  for (int i = 0; i < (N + 1) / 2; ++i) {
    const float own_sum = upper ? sum[i + N / 2] : sum[i], own_squares = upper ? squares[i + N / 2] : squares[i];
    sum[i] = own_sum + __shfl_xor_sync(~0u, upper ? sum[i] : sum[i + N / 2], far);
    squares[i] = own_squares + __shfl_xor_sync(~0u, upper ? squares[i] : squares[i + N / 2], far);
    around[i] = upper ? around[i + N / 2] : around[i];
  }
}
`;

export interface MomentsPlace {
  /** Columns of a group. */
  readonly width: number;
  readonly means: string;
  readonly squares: string;
  /** Text of the position along each dim of these tensors but the last, and under which condition there is one. */
  readonly at: readonly string[];
  readonly isLive: string;
  /** Text of the first group of the tile, and of their number. */
  readonly firstGroup: string;
  readonly groups: string;
  /** Text of the warp's first row, and of the number of rows. */
  readonly firstRow: string;
  readonly rowSize: string;
}

export interface MomentsText {
  /** Once a slab of rows. */
  readonly slab: readonly string[];
  /** Before a part of 64 columns, in a group of 8 of them, and behind the part. */
  readonly before: string;
  readonly group: string;
  readonly behind: string;
}

/** @param value the variable of a stored element */
export function momentsText(place: MomentsPlace, value: (row: Half, col: Half) => string): MomentsText {
  const { width, means, squares, at, isLive, firstGroup, groups, firstRow, rowSize } = place;
  // A thread's groups of a part, or its share of as many, and the columns that each has of 8; groups of lanes in a row.
  const own = Math.min(8, 64 / width);
  const apart = Math.max(1, 8 / width);
  const alike = 8 / own;
  const joins = [16, 8, 4, 1, 2].slice(0, 5 - Math.log2(apart)).map((far, i) => [far, Math.max(1, own >> i)] as const);
  const one = (tensor: string, text: string): string => `at_${tensor}[${at.map((position, dim) => `${position} * stride_${tensor}_${dim} + `).join("")}group] = ${text};`; // prettier-ignore
  return {
    slab: [
      `const float live0 = row0 < ${rowSize} ? 1.f : 0.f, live1 = row1 < ${rowSize} ? 1.f : 0.f;`,
      `const float of_run = 1.f / (float)(${width} * max(1, min(16, ${rowSize} - ${firstRow})));`,
    ],
    before: `      float around[${own}], sum[${own}], squares[${own}];\n`,
    group: `        {
          const float x00 = ${value(0, 0)};
          const int at_group = j / ${alike};
          if (j % ${alike} == 0) around[at_group] = __shfl_sync(~0u, x00, lane & ${4 - 4 / apart}), sum[at_group] = squares[at_group] = 0.f;
          const float around0 = around[at_group] * live0, around1 = around[at_group] * live1;
          const float y00 = x00 * live0 - around0, y01 = ${value(0, 1)} * live0 - around0, y10 = ${value(1, 0)} * live1 - around1, y11 = ${value(1, 1)} * live1 - around1;
          sum[at_group] += (y00 + y01) + (y10 + y11);
          squares[at_group] += y00 * y00;
          squares[at_group] += y01 * y01;
          squares[at_group] += y10 * y10;
          squares[at_group] += y11 * y11;
        }
`,
    behind: `${joins.map(([far, count]) => `      join_lanes<${count}>(around, sum, squares, ${far});\n`).join("")}      {
        const int group = ${firstGroup} + slice * ${64 / width} + (lane >> 2) / ${alike} * ${apart} + (lane & 3) / ${4 / apart};
        if ((lane >> 2) % ${alike} == 0 && (lane & 3) % ${4 / apart} == 0 && group < ${groups} && ${isLive}) {
          const float off = sum[0] * of_run;
          ${one(means, "around[0] + off")}
          ${one(squares, "fmaxf(squares[0] - sum[0] * off, 0.f)")}
        }
      }
`,
  };
} // prettier-ignore
