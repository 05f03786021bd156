// Which canonical loop a tile program is, or why it is none.
import type { TileProgram } from "../../tile/program.js";
import { cannot, isCannot, type CanonicalForm, type Cannot } from "./form.js";
import { matchAttention } from "./match-attention.js";
import { matchMatmul } from "./match-matmul.js";

export function matchCanonical(program: TileProgram): CanonicalForm | Cannot {
  const matmul = matchMatmul(program);
  if (!isCannot(matmul)) return matmul;
  const attention = matchAttention(program);
  if (!isCannot(attention)) return attention;
  return cannot(`sm_90a has skeletons for matmul and attention loops only. ${matmul.cannot}; ${attention.cannot}`);
}
