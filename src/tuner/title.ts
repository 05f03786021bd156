// A region in one line for people: "linear + gelu_tanh f32 [256, 256] × [1024, 256]".
import { showShape } from "../core/shape.js";
import type { Region } from "../graph/region.js";
import { workOf } from "./worker/expectation.js";

/** Ops beyond this many are counted, not named. */
const MOST_NAMED = 6;

export function titleOf(region: Region): string {
  const ops = workOf(region).map((node) => node.op);
  const named = ops.length <= MOST_NAMED ? ops.join(" + ") : `${ops.slice(0, 3).join(" + ")} + … (${ops.length} ops)`;
  const dtypes = [...new Set(region.outputs.map(({ dtype }) => dtype))].join("/");
  const large = region.inputs.filter(({ shape }) => shape.length > 1).slice(0, 3);
  const shapes = (large.length > 0 ? large : region.inputs.slice(0, 3)).map(({ shape }) => showShape(shape));
  return `${named} ${dtypes} ${shapes.join(" × ")}`;
}
