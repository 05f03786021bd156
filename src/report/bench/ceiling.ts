// The machine's ceilings at its thread count, measured now: the fastest provider's product of two square matrices, and
// its elementwise kernel over arrays that no cache holds.
import { requiredTensors } from "../../model/weights.js";
import { messageOf } from "../../core/error.js";
import { debug } from "../../core/debug.js";
import { dtypeBytes, writeElement, type DType } from "../../core/dtype.js";
import { fillNormal } from "../../core/philox.js";
import type { Graph } from "../../graph/node.js";
import { Regions } from "../../graph/region.js";
import { Words } from "../../graph/words.js";
import { nativesOf, planOf } from "../../compile/contenders.js";
import type { Machine } from "../../compile/machine.js";
import { propose } from "../../plan/propose.js";
import { selectFirst } from "../../plan/rivals.js";
import type { Provider } from "../../provider/provider.js";
import { Session } from "../../session/session.js";
import { RandomWeights } from "../../weights/random.js";
import type { Ceiling } from "./figures.js";

/** Rows and columns of the product; elements of the copied array, of which two of any float are more than a last cache. */
const SIZES = { host: { side: 1024, copied: 2 ** 24 }, device: { side: 4096, copied: 2 ** 27 } } as const;
/** Elements of a row that is copied. */
const ROW = 1024;
const RUNS = 7;
const SEED = 11;
const US_PER_SECOND = 1e6;

function productGraph(dtype: DType, side: number): Graph {
  const g = new Words("ceiling_product");
  const x = g.input("x", dtype, [side, side]);
  return g.finish({ y: g.linear(x, g.weight("weight", dtype, [side, side])) });
}

function copyGraph(dtype: DType, copied: number): Graph {
  const g = new Words("ceiling_copy");
  return g.finish({ y: g.mul(g.input("x", dtype, [copied / ROW, ROW]), 2) });
}

export async function measureCeiling(machine: Machine, dtype: DType): Promise<Ceiling> {
  const { side, copied } = SIZES[machine.device.numbers ? "device" : "host"];
  const product = await fastest(machine, productGraph(dtype, side));
  const copy = await fastest(machine, copyGraph(dtype, copied));
  return {
    dtype,
    flopsPerSecond: (2 * side ** 3 * US_PER_SECOND) / product.us,
    bytesPerSecond: (2 * copied * dtypeBytes(dtype) * US_PER_SECOND) / copy.us,
    side,
    by: { product: product.by, copy: copy.by },
  };
}

/** The shortest of some runs by any provider; one that cannot is passed over. */
async function fastest(machine: Machine, graph: Graph): Promise<{ readonly us: number; readonly by: string }> {
  let best = { us: Number.POSITIVE_INFINITY, by: "nobody" };
  const natives = nativesOf(machine.opened.providers);
  for (const provider of natives.length > 0 ? natives : machine.opened.providers) {
    try {
      const us = await timeBy(machine, provider, graph);
      if (us < best.us) best = { us, by: provider.name };
    } catch (error) {
      debug(1, () => `no ceiling of ${graph.name} by ${provider.name}: ${messageOf(error)}`);
    }
  }
  return best;
}

/** Random numbers, for zeros would run faster; one row over and over, for drawing millions takes longer than the runs. */
function fill(session: Session): void {
  const { dtype, shape } = session.type("x");
  const row = new Float32Array(shape[1]!);
  fillNormal(row, SEED);
  const bytes = new Uint8Array(row.length * dtypeBytes(dtype));
  const view = new DataView(bytes.buffer);
  row.forEach((x, i) => writeElement(view, dtype, i, x));
  const all = new Uint8Array(shape[0]! * bytes.length);
  for (let at = 0; at < all.length; at += bytes.length) all.set(bytes, at);
  session.write("x", all);
}

async function timeBy(machine: Machine, provider: Provider, graph: Graph): Promise<number> {
  const selection = selectFirst(propose(new Regions(graph), [provider]), [provider]);
  const { dtype } = graph.values[0]!;
  const weights = new RandomWeights("ceiling", SEED, dtype);
  weights.declare(requiredTensors(graph));
  using session = await Session.load({
    graph,
    plan: planOf(machine, selection, `ceiling(${provider.name})`),
    providers: machine.providers,
    device: machine.device,
    weights,
  });
  fill(session);
  return Math.min(...Array.from({ length: RUNS }, () => session.time()));
}
