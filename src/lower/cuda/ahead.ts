// What a product's epilogue reads that can be fetched while the products run.
import type { LoadOp } from "../../tile/program.js";
import { paramOf } from "../../tile/query.js";
import type { ProductForm } from "./form.js";
import type { Ahead } from "./schedule.js";

/** The epilogue's load of a 16-bit tensor over the whole tile, which is fetched while the products still run. */
export const prefetchedLoad = (form: ProductForm): LoadOp | undefined =>
  paramOf(form.program, form.store.tensor).dtype === "f32"
    ? undefined
    : form.epilogue.find(
        (op): op is LoadOp => op.kind === "load" && (op.dtype === "bf16" || op.dtype === "f16") && spansTile(form, op),
      );

/** Whether a load is of the whole tile: of a matrix's rows and columns in this order, of pictures in any, or of one for all. */
function spansTile(form: ProductForm, { tensor }: LoadOp): boolean {
  const { axes } = paramOf(form.program, tensor);
  const { n, inner, outer } = form;
  if (form.kind === "matmul") return axes.join() === [...(outer ? [outer.axis] : []), form.m.axis, n.axis].join();
  const own = axes.filter((axis) => axis !== form.outer.axis);
  return own.toSorted().join() === [form.y.axis, form.x.axis, n.axis, ...inner].toSorted().join();
}

/**
 * The epilogue's loads of f32 tables over rows and the pairs of a head, angles as a rule, which a schedule may have fetched
 * while the products run.
 */
export const rowTables = (form: ProductForm): readonly LoadOp[] =>
  form.kind !== "matmul" || form.inner.length < 2
    ? []
    : form.epilogue.filter(
        (op): op is LoadOp =>
          op.kind === "load" &&
          op.dtype === "f32" &&
          paramOf(form.program, op.tensor).axes.join() === [form.m.axis, form.inner[0]].join(),
      );

/** @param width elements of a head; 128 bytes of a table are 32 pairs */
export const aheadOf = (form: ProductForm, width: number): Ahead => ({
  tile: prefetchedLoad(form) !== undefined,
  tableBoxes: width % 64 === 0 ? (rowTables(form).length * width) / 64 : 0,
});
