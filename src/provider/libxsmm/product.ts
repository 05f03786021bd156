// A product of a region as libxsmm's kernels take it: where the right side is read from, how it is cut into blocks, and
// the words that the shim reads.
import { dtypeBytes, type DType } from "../../core/dtype.js";
import { isContiguous } from "../../core/shape.js";
import type { Params } from "../../graph/node.js";
import type { Region } from "../../graph/region.js";
import { planOf, type ProductPlan } from "../native/product-plan.js";
import { isCannot, type Cannot, type Tiling, type Way } from "../provider.js";
import { PANEL, type FIELDS } from "./shim.js";

/** Where kernels find the right side: packed once, as it lies, or packed again at every run. */
export type RightSide = "packed" | "in place" | "copied";

export interface Product {
  readonly plan: ProductPlan;
  readonly right: RightSide;
  /** Of the packed right side of one product. */
  readonly packBytes: number;
  readonly workspaceBytes: number;
  readonly fields: Readonly<Record<Exclude<(typeof FIELDS)[number], "offsets">, number>>;
  /** Of a, b and c, for every product; in elements. */
  readonly offsets: readonly number[];
}

/** Rows of a block, most first: multiples of the six rows that libxsmm holds in registers. */
const BLOCK_ROWS = [96, 48, 24, 12] as const;
/** Terms of a block in f32: 64 KiB of the right side. bf16 sums in one go, for what is stored between would be rounded. */
const BLOCK_TERMS = [256, 512] as const;
/** Strides above this do not fit kernels' displacements. */
const MOST_STRIDE = 2 ** 23;
const MOST_WORKSPACE_BYTES = 64 * 2 ** 20;

/** Every way to do a region, the best guess for this many threads first. */
export function* productVariants(region: Region, threads: number): Generator<Params> {
  const isImage = region.nodes[0]?.op === "conv2d" && !region.inputs[0]!.fixed && !region.outputs[0]!.fixed;
  for (const layout of isImage ? ["nhwc", "given"] : ["given"]) {
    for (const right of ["packed", "in place", "copied"] as const) {
      const product = productOf(region, { layout, right, rows: BLOCK_ROWS[0], terms: BLOCK_TERMS[0] });
      if (isCannot(product)) {
        yield { layout, right, rows: BLOCK_ROWS[0], terms: BLOCK_TERMS[0] };
        continue;
      }
      const { plan, fields } = product;
      for (const blocking of blockings(
        { ...plan, count: plan.batches.length, elementBytes: fields.elementBytes },
        threads,
      ))
        yield { layout, right, ...blocking };
      break; // what packs need not be read as it lies, and what can be read so need not be copied
    }
  }
}

interface Sizes extends Pick<ProductPlan, "m" | "n" | "k"> {
  /** Products side by side. */
  readonly count: number;
  readonly elementBytes: number;
}

interface Blocking {
  readonly rows: number;
  readonly terms: number;
}

/** Rows and terms of blocks, the best guess first. */
function blockings({ m, n, k, count, elementBytes }: Sizes, threads: number): readonly Blocking[] {
  const blocks = (rows: number): number => count * Math.ceil(m / rows) * Math.ceil(n / PANEL);
  const useful = BLOCK_ROWS.filter((_, i) => i === BLOCK_ROWS.length - 1 || BLOCK_ROWS[i + 1]! < m);
  const first = useful.find((rows) => blocks(rows) >= 4 * threads) ?? useful.at(-1)!;
  const terms = BLOCK_TERMS.filter((_, i) => i === 0 || (elementBytes === 4 && k > BLOCK_TERMS[0]));
  return [first, ...useful.filter((other) => other !== first)].flatMap((rows) => terms.map((count) => ({ rows, terms: count }))); // prettier-ignore
}

/** Of a linear layer over a weight, by its rows: what `productVariants` yields for it. */
export function waysAt(region: Region, threads: number): (rows: number) => readonly Way[] {
  const [params] = productVariants(region, threads);
  const product = params && productOf(region, params);
  if (!product || isCannot(product)) return () => [];
  const { plan, right, fields } = product;
  const { k, batches } = plan;
  const { elementBytes } = fields;
  return (all) => {
    const m = Math.ceil(all / batches.length);
    const list = blockings({ ...plan, m, count: batches.length, elementBytes }, threads);
    return list.map(({ rows, terms }) => ({ method: right, tiling: tilingOf({ m, k }, { rows, terms: elementBytes === 4 ? terms : k }) })); // prettier-ignore
  };
}

/** Registers hold six rows of a panel. */
export const tilingOf = ({ m, k }: Pick<ProductPlan, "m" | "k">, { rows, terms }: Blocking): Tiling => ({
  program: { rows: Math.min(rows, m), columns: PANEL, terms: Math.min(terms, k) },
  block: { rows: 6, columns: PANEL },
  copiesRows: false,
});

export function productOf(region: Region, params: Params): Product | Cannot {
  const plan = planOf({ name: "libxsmm", dtypes: ["f32", "bf16"] }, region, params);
  if (isCannot(plan)) return plan;
  const { m, n, k, batches, residual, bias } = plan;
  const { dtype } = region.outputs[0]!;
  const isBf16 = dtype === "bf16";
  if (plan.alpha !== 1) return { cannot: "libxsmm's kernels scale nothing" };
  if (isBf16 && k % 2 === 1) return { cannot: `libxsmm multiplies bf16 in pairs of terms, and ${k} is odd` };
  if (isBf16 && bias && residual !== undefined)
    return { cannot: "a bias and a residual in bf16 would be rounded before the product is added" };
  const { a, b, c } = batches[0]!;
  const [aRow, cRow] = [m === 1 ? k : a.rowStride, m === 1 ? n : c.rowStride];
  if ((a.columnStride !== 1 && k > 1) || (c.columnStride !== 1 && n > 1))
    return { cannot: "libxsmm needs rows whose elements are neighbours" };
  if (aRow < k || cRow < n) return { cannot: "rows overlap" };
  const right = rightSide(region, plan, params.right as RightSide, dtype);
  if (isCannot(right)) return right;
  const bTerm = params.right === "in place" ? (k === 1 ? n : b.rowStride) : PANEL;
  if (Math.max(aRow, cRow, bTerm) > MOST_STRIDE) return { cannot: "rows are too far apart for libxsmm's kernels" };
  const packBytes = Math.ceil(n / PANEL) * Math.ceil(k / (isBf16 ? 2 : 1)) * PANEL * 4;
  const workspaceBytes = params.right === "copied" ? packBytes * batches.length : 0;
  if (workspaceBytes > MOST_WORKSPACE_BYTES) return { cannot: "the right side is too large to be packed at every run" };
  return {
    plan,
    right: params.right as RightSide,
    packBytes,
    workspaceBytes,
    fields: {
      elementBytes: dtypeBytes(dtype),
      rows: m,
      columns: n,
      terms: k,
      blockRows: Number(params.rows),
      blockTerms: isBf16 ? k : Number(params.terms),
      aRow,
      cRow,
      bTerm,
      isPacked: params.right === "packed" ? 1 : 0,
      copies: params.right === "copied" ? 1 : 0,
      bRow: right.row,
      bColumn: right.column,
      hasBias: bias ? 1 : 0,
      biasRow: bias?.over === "columns" ? 1 : 0,
      biasColumn: bias?.over === "rows" ? 1 : 0,
      hasResidual: residual === undefined ? 0 : 1,
      batches: batches.length,
    },
    offsets: batches.flatMap((batch) => [batch.a.offset, batch.b.offset, batch.c.offset]),
  };
}

/** Strides of terms and columns of the right side, if it can be had this way. */
function rightSide(
  region: Region,
  { right, batches, k, n }: ProductPlan,
  way: RightSide,
  dtype: DType,
): { readonly row: number; readonly column: number } | Cannot {
  const operand = region.inputs[right]!;
  const { rowStride, columnStride } = batches[0]!.b;
  const strides = { row: rowStride, column: columnStride };
  if (way === "copied") return strides;
  if (way === "packed") {
    const isKept = operand.kind === "weight" || operand.kind === "constant";
    if (!isKept) return { cannot: "only weights are packed once" };
    const isOne = batches.every(({ b }) => b.offset === 0);
    return isOne && isContiguous(operand.shape, operand.strides)
      ? strides
      : { cannot: "the weight is several matrices" };
  }
  if (dtype === "bf16") return { cannot: "libxsmm reads the right side of bf16 products in pairs of terms" };
  if ((columnStride !== 1 && n > 1) || (rowStride < n && k > 1))
    return { cannot: "the right side's columns are no neighbours" };
  return strides;
}
