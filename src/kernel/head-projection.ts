// A linear layer whose columns are heads: query and key divided by their root mean squares and turned, the value as it
// comes, each stored where attention reads it. A head lies whole inside a tile, so all of it is the product's epilogue.
import type { Tile } from "../tile/index.js";
import { Sheet, type Floats, type KernelForm } from "./sheet.js";
import type { HeadPart, HeadProjection, Located, Task } from "./task.js";
import { dtypeBytes } from "../core/dtype.js";
import { TroupeError } from "../core/error.js";

/** One kernel for all columns. Its result lies in as many tensors as there are parts, which the matmul skeleton can store. */
export const headProjectionForm = (task: Task): KernelForm => formOf(task, 0, projectionOf(task).parts);

/** A kernel a part, for lowerings that store to one tensor. */
export function headProjectionParts(task: Task): readonly KernelForm[] {
  let from = 0;
  return projectionOf(task).parts.map((part) => {
    const form = formOf(task, from, [part]);
    from += part.heads;
    return form;
  });
}

function projectionOf({ heads }: Task): HeadProjection {
  if (!heads) throw new TroupeError("internal", "the columns of this product are no heads");
  return heads;
}

/** x[B, T, K] · w[heads, width, K]ᵀ (+ bias) for `parts`, the first of which begins with head `from` of the weight. */
function formOf(task: Task, from: number, parts: readonly HeadPart[]): KernelForm {
  const { width, eps, tables } = projectionOf(task);
  const [x, w, bias] = task.inputs as readonly [Located, Located, Located?];
  const [B, T, K] = x.shape as readonly [number, number, number];
  const total = parts.reduce((sum, { heads }) => sum + heads, 0);
  const normed = parts.filter(({ norm }) => norm !== null);
  const isTurned = tables !== null && normed.length > 0;
  const sheet = new Sheet();
  const lead = B > 1 ? ["B"] : [];
  for (const [axis, size] of Object.entries({ ...(B > 1 && { B }), M: T, H: total, P: width / 2, K }))
    sheet.axis(axis, size);
  sheet.axis("R", 2, true);
  const ofHead = (stride: number): readonly number[] => [2 * stride, stride];
  const further = (operand: Located, step: number) => ({ ...operand.source, offsetBytes: from * width * step * dtypeBytes(operand.dtype) }); // prettier-ignore
  const [ofRow, ofColumn] = w.strides as readonly [number, number];
  sheet.parameter("x", "in", x.source, x.dtype, [...lead, "M", "K"], x.strides.slice(B > 1 ? 0 : 1));
  sheet.parameter("w", "in", further(w, ofRow), w.dtype, ["H", "P", "R", "K"], [width * ofRow, ...ofHead(ofRow), ofColumn]); // prettier-ignore
  if (bias) {
    const [step] = bias.strides as readonly [number];
    sheet.parameter("bias", "in", further(bias, step), bias.dtype, ["H", "P", "R"], [width * step, ...ofHead(step)]);
  }
  normed.forEach(({ norm }, i) =>
    sheet.parameter(`norm${i}`, "in", norm!.source, norm!.dtype, ["P", "R"], ofHead(norm!.strides[0]!)),
  );
  if (isTurned)
    for (const [i, name] of ["cos", "sin"].entries())
      sheet.parameter(name, "in", tables[i]!.source, tables[i]!.dtype, ["M", "P"], tables[i]!.strides);
  const pieces = parts.map(({ heads, output }) => {
    const [b, t, h, d] = output.strides as readonly [number, number, number, number];
    return { source: output.source, size: heads, strides: [...(B > 1 ? [b] : []), t, h, ...ofHead(d)] };
  });
  const [first] = pieces as [(typeof pieces)[number]];
  const outAxes = [...lead, "M", "H", "P", "R"];
  sheet.parameter("out", "out", first.source, task.output.dtype, outAxes, first.strides, pieces.length > 1 ? { along: "H", tensors: pieces } : undefined); // prettier-ignore
  return sheet.finish("head_projection", (body) => {
    const { t } = body;
    const at = { ...(B > 1 && { B: t.each("B") }), M: t.program("M"), H: t.program("H") };
    const zeros = t.zeros("f32", "M", "H", "P", "R") as Floats;
    const acc = t.loop("K", zeros, (k, sum) => {
      const here = { ...at, K: k };
      return t.dot(body.raw("x", here) as Tile<"f32", string>, body.raw("w", here) as Tile<"f32", string>, "K", sum as never) as unknown as Floats; // prettier-ignore
    });
    const plain = bias ? acc.add(body.floats("bias", at)) : acc;
    if (normed.length === 0) {
      body.store("out", at, plain);
      return;
    }
    const scale = (plain.square().mean("P", "R") as unknown as Floats).add(eps).rsqrt();
    /** `x` for the heads before the first `count`, `y` for the others. */
    const before = (count: number, x: Floats, y: Floats): Floats =>
      count === total ? x : (t.where((t.iota(at.H) as Tile<"i32", string>).lt(count), x, y) as Floats);
    const ends = normed.map((_, i) => normed.slice(0, i + 1).reduce((sum, { heads }) => sum + heads, 0));
    const weight = normed
      .map((_, i) => body.floats(`norm${i}`, {}))
      .reduceRight((after, own, i) => before(ends[i]!, own, after));
    let result = plain.mul(scale).mul(weight);
    if (isTurned) {
      const [x0, x1] = [result.at("R", 0), result.at("R", 1)] as unknown as readonly [Floats, Floats];
      const [cos, sin] = [body.floats("cos", at), body.floats("sin", at)];
      result = t.stack("R", [x0.mul(cos).sub(x1.mul(sin)), x1.mul(cos).add(x0.mul(sin))]) as Floats;
    }
    body.store("out", at, before(ends.at(-1)!, result, plain));
  });
}
