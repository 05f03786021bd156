// For primitives that have one layout for source and result: the source is copied into the result first where they differ.
import { sameShape } from "../../core/shape.js";
import type { Strided } from "../native/strided.js";
import { isCannot, type Cannot } from "../provider.js";
import type { OneDnn, Tensor } from "./binding.js";
import { ARG } from "./constants.js";
import type { Place, Stage } from "./form.js";

/** The copy, if any, and where the primitive reads its source: the input itself, or the result after a copy into it. */
export function copyUnlessAlike(
  dnn: OneDnn,
  from: Tensor,
  to: Tensor,
  input: number,
): { readonly stages: readonly Stage[]; readonly place: Place } | Cannot {
  if (sameShape(from.strides as Strided["strides"], to.strides as Strided["strides"])) {
    return { stages: [], place: { input } };
  }
  const primitive = dnn.reorder(from, to);
  if (isCannot(primitive)) return primitive;
  return {
    stages: [{ name: "copy", primitive, args: [[ARG.src, { input }], [ARG.dst, { output: 0 }]] }], // prettier-ignore
    place: { output: 0 },
  };
}
