// One denoise step and the decoder of FLUX.1 at full size on this machine's GPU, random bf16 weights, plans by rules:
// device times of the captured programs, and where they go. usage: node dist/bench/cuda-flux.js [DOUBLE SINGLE] [decode]
import { compileComponents } from "../src/compile/compile.js";
import type { Component } from "../src/compile/component.js";
import { fillInputs } from "../src/compile/inputs.js";
import { openMachine, type Machine } from "../src/compile/machine.js";
import { dtypeBytes, toBf16Bits } from "../src/core/dtype.js";
import { TroupeError } from "../src/core/error.js";
import { fillNormal } from "../src/core/philox.js";
import { sizeOf } from "../src/core/shape.js";
import { median } from "../src/core/statistics.js";
import type { Graph } from "../src/graph/node.js";
import { fluxSchema, vaeSchema } from "../src/model/config.js";
import { fluxStepGraph } from "../src/model/flux.js";
import { vaeDecodeGraph } from "../src/model/vae.js";
import { Session } from "../src/session/session.js";
import type { TensorInfo, WeightStore } from "../src/weights/store.js";

const RUNS = 7;
const PATTERN_BYTES = 1 << 22;

/** Every weight of a graph, filled with one block of normal numbers again and again. */
function randomWeights(graph: Graph): WeightStore {
  const infos = new Map<string, TensorInfo>();
  for (const [id, source] of graph.sources) {
    if (source.kind !== "weight") continue;
    const { dtype, shape } = graph.values[id]!;
    for (const name of source.tensors) infos.set(name, { dtype, shape, bytes: sizeOf(shape) * dtypeBytes(dtype) });
  }
  const numbers = new Float32Array(PATTERN_BYTES / 2);
  fillNormal(numbers, 11);
  const pattern = new Uint8Array(Uint16Array.from(numbers, (x) => toBf16Bits(x * 0.02)).buffer);
  return {
    source: "random numbers",
    names: () => [...infos.keys()],
    has: (name) => infos.has(name),
    get(name) {
      const info = infos.get(name);
      if (!info) throw new TroupeError("weights", `there is no tensor ${name}`);
      return info;
    },
    async read(_name, into) {
      for (let at = 0; at < into.length; at += pattern.length)
        into.set(pattern.subarray(0, Math.min(pattern.length, into.length - at)), at);
    },
    close: async () => {},
  };
}

async function measure(machine: Machine, name: string, graph: Graph): Promise<void> {
  const component: Component = { name, graph, weights: randomWeights(graph), runs: 1 };
  const seconds = (since: number): string => `${((performance.now() - since) / 1e3).toFixed(1)} s`;
  let start = performance.now();
  const [compiled] = await compileComponents(machine, [component], { effort: "none" });
  const planned = seconds(start);
  start = performance.now();
  using session = await Session.load({
    graph: compiled!.graph,
    plan: compiled!.plan,
    providers: machine.providers,
    device: machine.device,
    weights: component.weights,
  });
  console.log(`${name}: planned in ${planned}, loaded ${(session.bytes.weights / 1e9).toFixed(2)} GB of weights and ${(session.bytes.values / 1e9).toFixed(2)} GB of values in ${seconds(start)}`); // prettier-ignore
  fillInputs(compiled!.graph, session);
  session.time();
  const times = Array.from({ length: RUNS }, () => session.time());
  const outputs = (): readonly Buffer[] => graph.outputs.map(({ name: output }) => Buffer.from(session.read(output)));
  const before = outputs();
  session.time();
  console.log(
    `${name}: two runs are ${outputs().every((bytes, i) => bytes.equals(before[i]!)) ? "" : "NOT "}bit-equal`,
  );
  const timings = session.profile();
  console.log(`${name}: ${(median(times) / 1e3).toFixed(2)} ms (median of ${RUNS} replays, ${(Math.min(...times) / 1e3).toFixed(2)} to ${(Math.max(...times) / 1e3).toFixed(2)}), ${timings.length} steps, ${session.how}`); // prettier-ignore
  const groups = new Map<string, { us: number; count: number }>();
  const providers = compiled!.plan.steps.flatMap((step) => step.choice);
  timings.forEach(({ name: step, us }, i) => {
    const key = timings.length === providers.length ? `${providers[i]!.provider} ${providers[i]!.id}` : step;
    const group = groups.get(key) ?? { us: 0, count: 0 };
    groups.set(key, { us: group.us + us, count: group.count + 1 });
  });
  const rows = [...groups].sort((a, b) => b[1].us - a[1].us).slice(0, 24);
  for (const [key, { us, count }] of rows) console.log(`  ${(us / 1e3).toFixed(3).padStart(9)} ms  ${String(count).padStart(4)}  ${key}`); // prettier-ignore
}

const [double = "19", single = "38"] = process.argv.slice(2).filter((arg) => /^\d+$/.test(arg));
using machine = await openMachine({ device: "cuda" });
console.log(machine.device.target.hardware, JSON.stringify(machine.versions));
for (const { name, reason } of machine.opened.cannot) console.log(`without ${name}: ${reason}`);
const config = fluxSchema.parse({ num_layers: Number(double), num_single_layers: Number(single) });
const options = { dtype: "bf16", batch: 1, textTokens: 256, imageTokens: 4096, steps: 4 } as const;
await measure(machine, "step", fluxStepGraph(config, options));
if (process.argv.includes("decode")) {
  const vae = vaeSchema.parse({
    latent_channels: 16, block_out_channels: [128, 256, 512, 512], layers_per_block: 2, use_post_quant_conv: false,
    up_block_types: Array.from({ length: 4 }, () => "UpDecoderBlock2D"),
  }); // prettier-ignore
  await measure(machine, "decode", vaeDecodeGraph(vae, { dtype: "bf16", batch: 1, rows: 64, columns: 64 }));
}
