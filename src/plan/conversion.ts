// Bringing a value into another layout as a graph of its own: the buffer read as the dense tensor it is, a transpose
// view, a copy. Whoever can copy strided tensors can convert.
import { contiguous } from "../core/shape.js";
import type { Graph, TensorType } from "../graph/node.js";
import { Words } from "../graph/words.js";
import type { Layout } from "../provider/provider.js";

/** Input "from" and output "to" are the same elements, dims in memory order of the two layouts. */
export function conversionGraph({ dtype, shape }: TensorType, from: Layout, to: Layout): Graph {
  const natural = contiguous(shape).map((_, d) => d);
  const source = from ?? natural;
  const target = to ?? natural;
  const g = new Words("conversion");
  const x = g.input("from", dtype, source.map((d) => shape[d]!)); // prettier-ignore
  const turned = g.transpose(x, target.map((d) => source.indexOf(d))); // prettier-ignore
  return g.finish({ to: g.copy(turned) });
}
