// A linear layer seen as rows × columns × terms: the sizes that a profile of the machine predicts its time from.
import { sizeOf } from "../../core/shape.js";
import { dtypeBytes, type DType } from "../../core/dtype.js";
import { hasTrait } from "../../graph/op.js";
import { opOf } from "../../graph/ops.js";
import { Regions, type Region } from "../../graph/region.js";
import { materialize } from "../../graph/storage.js";
import { Words } from "../../graph/words.js";
import { workOf } from "../worker/expectation.js";

export interface Product {
  readonly dtype: DType;
  readonly rows: number;
  readonly columns: number;
  readonly terms: number;
}

/** The product of a region that is a linear layer over a weight, and pointwise ops; undefined for all others. */
export function productOf(region: Region): Product | undefined {
  const [head, ...links] = workOf(region);
  if (head?.op !== "linear" || !links.every((node) => hasTrait(opOf(node), "pointwise"))) return undefined;
  const { values } = region.graph;
  const weight = region.inputs.find(({ value }) => value === head.inputs[1]);
  if (weight?.kind !== "weight" && weight?.kind !== "constant") return undefined;
  const [columns, terms] = weight.shape as readonly [number, number];
  const x = values[head.inputs[0]!]!;
  return { dtype: x.dtype, rows: sizeOf(x.shape.slice(0, -1)), columns, terms };
}

/** A region that is such a product and nothing else. */
export function regionOf({ dtype, rows, columns, terms }: Product): Region {
  const g = new Words("product");
  const y = g.linear(g.input("x", dtype, [rows, terms]), g.weight("w", dtype, [columns, terms]));
  const regions = new Regions(materialize(g.finish({ y })));
  return regions.region([regions.work[0]!.id]);
}

/** What a run is taken to last when runs are planned, whatever the machine: multiply-adds, or a cold weight's bytes. */
export const roughMs = ({ dtype, rows, columns, terms }: Product): number =>
  Math.max((2 * rows * columns * terms) / FLOPS_PER_MS, (columns * terms * dtypeBytes(dtype)) / BYTES_PER_MS);

const FLOPS_PER_MS = 80e6;
const BYTES_PER_MS = 12e6;
