// Which canonical loop a tile program is, or why it is none.
import type { TileProgram } from "../../tile/program.js";
import { cannot, isCannot, type CanonicalForm, type Cannot } from "./form.js";
import { matchAttention } from "./match-attention.js";
import { matchConv } from "./match-conv.js";
import { matchMatmul } from "./match-matmul.js";

export function matchCanonical(program: TileProgram): CanonicalForm | Cannot {
  const reasons: string[] = [];
  for (const match of [matchMatmul, matchConv, matchAttention]) {
    const form = match(program);
    if (!isCannot(form)) return form;
    reasons.push(form.cannot);
  }
  return cannot(`sm_90a has skeletons for matmul, convolution and attention loops only. ${reasons.join("; ")}`);
}
