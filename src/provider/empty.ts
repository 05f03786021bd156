// Regions over no elements: libraries differ in what they make of a dim of 0, so every provider refuses them first.
import type { Region } from "../graph/region.js";
import type { Cannot } from "./provider.js";

/** The refusal of a region with an empty operand; undefined where there is none. */
export function emptyOperand(region: Region): Cannot | undefined {
  const empty = [...region.inputs, ...region.outputs].find(({ shape }) => shape.includes(0));
  return empty && { cannot: `an operand of shape [${empty.shape.join(", ")}] has no elements` };
}
