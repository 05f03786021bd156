// Runs one variant on the device: values first, then the time of a captured graph over rotating buffers.
import type { CudaKernel } from "../../src/device/cuda/kernel.js";
import { CudaDevice, type CudaBuffer } from "../../src/device/cuda/device.js";
import { LoadedKernel, type Bindings } from "../../src/device/cuda/launch.js";
import { CudaEvent, CudaStream } from "../../src/device/cuda/stream.js";
import { contiguous } from "../../src/core/shape.js";
import { checkAttention, checkMatmul, randomBf16, widen, type ErrorReport } from "./data.js";
import type { Case, Variant } from "./variants.js";

export interface Result {
  readonly id: string;
  readonly us: number;
  readonly usSpread: readonly [number, number];
  readonly tflops: number;
  readonly registers: number;
  readonly localBytes: number;
  readonly blocks: number;
  /** Whether the last of the timed launches gave the first one's bits. */
  readonly repeatable: boolean;
  readonly error: ErrorReport;
}

const SETS = 4;

export const flopsOf = (c: Case): number =>
  c.kind === "matmul" ? 2 * c.m * c.n * c.k : 4 * c.heads * c.queries * c.keys * c.depth * (c.causal ? 0.5 : 1);

interface Shape {
  readonly axes: readonly string[];
  readonly shape: readonly number[];
}
function tensorsOf(c: Case): Readonly<Record<string, Shape>> {
  if (c.kind === "attention") {
    const { heads, queries, keys, depth } = c;
    return {
      q: { axes: ["H", "Q", "D"], shape: [heads, queries, depth] },
      k: { axes: ["H", "L", "D"], shape: [heads, keys, depth] },
      v: { axes: ["H", "L", "D"], shape: [heads, keys, depth] },
      o: { axes: ["H", "Q", "D"], shape: [heads, queries, depth] },
    };
  }
  const { m, n, k, epilogue } = c;
  return {
    a: { axes: ["M", "K"], shape: [m, k] },
    b: { axes: ["N", "K"], shape: [n, k] },
    ...(epilogue?.bias ? { bias: { axes: ["N"], shape: [n] } } : {}),
    ...(epilogue?.gatedResidual
      ? { gate: { axes: ["N"], shape: [n] }, residual: { axes: ["M", "N"], shape: [m, n] } }
      : {}),
    c: { axes: ["M", "N"], shape: [m, n] },
  };
}

export function runOne(variant: Variant, kernel: CudaKernel, cubin: Uint8Array): Result {
  using device = new CudaDevice();
  using stream = new CudaStream(device);
  using loaded = new LoadedKernel(device, kernel, cubin);
  const shapes = tensorsOf(variant.case);
  const names = Object.keys(shapes);
  const output = variant.case.kind === "matmul" ? "c" : "o";
  const count = (name: string): number => shapes[name]!.shape.reduce((x, y) => x * y, 1);
  const host = Object.fromEntries(names.map((name, i) => [name, randomBf16(count(name), i + 1)]));
  const sets = Array.from({ length: SETS }, (_, set) =>
    Object.fromEntries(
      names.map((name, i): [string, CudaBuffer] => [
        name,
        device.bufferOf(set === 0 ? host[name]! : randomBf16(count(name), 100 * set + i)),
      ]),
    ),
  );
  const bind = (buffers: Readonly<Record<string, CudaBuffer>>): Bindings =>
    Object.fromEntries(
      names.map((name) => {
        const { axes, shape } = shapes[name]!;
        return [
          name,
          { address: buffers[name]!.address, dtype: "bf16" as const, axes, shape, strides: contiguous(shape) },
        ];
      }),
    );
  const launches = sets.map((buffers) => loaded.bind(bind(buffers)));
  for (const buffers of sets) stream.fill(buffers[output]!, 0xff);
  launches[0]!.launch(stream);
  stream.synchronize();
  const out = sets[0]![output]!.download(new Uint16Array(count(output)));
  const error = check(variant.case, host, out);

  const flops = flopsOf(variant.case);
  const launchesAReplay = Math.max(SETS, Math.min(64, Math.ceil(4e-3 / (flops / 6e14)))) & ~3;
  using graph = stream.capture(() => {
    for (let i = 0; i < launchesAReplay; i++) launches[i % SETS]!.launch(stream);
  });
  using start = new CudaEvent(device);
  using end = new CudaEvent(device);
  const times: number[] = [];
  for (let replay = 0; replay < 14; replay++) {
    stream.record(start);
    graph.launch(stream);
    stream.record(end);
    end.synchronize();
    if (replay >= 3) times.push((end.msSince(start) * 1000) / launchesAReplay);
  }
  times.sort((x, y) => x - y);
  const us = times[times.length >> 1]!;
  const again = sets[0]![output]!.download(new Uint16Array(count(output)));
  const repeatable = Buffer.from(out.buffer).equals(Buffer.from(again.buffer));
  const result: Result = {
    id: variant.id, us, usSpread: [times[0]!, times.at(-1)!], tflops: flops / us / 1e6,
    registers: loaded.fn.registers, localBytes: loaded.fn.localBytes, blocks: launches[0]!.shape.blocks, repeatable, error,
  }; // prettier-ignore
  for (const buffers of sets) for (const buffer of Object.values(buffers)) buffer[Symbol.dispose]();
  return result;
}

function check(c: Case, host: Readonly<Record<string, Uint16Array>>, out: Uint16Array): ErrorReport {
  if (c.kind === "attention")
    return checkAttention(host["q"]!, host["k"]!, host["v"]!, out, c, c.causal, c.queries > 1000 ? 6 : 40);
  const { m, n, k, epilogue } = c;
  if (!epilogue) return checkMatmul(host["a"]!, host["b"]!, out, m, n, k, undefined);
  const at = (name: string): Float32Array | undefined => host[name] && widen(host[name]);
  const [bias, gate, residual] = [at("bias"), at("gate"), at("residual")];
  const gelu = (x: number): number => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));
  return checkMatmul(host["a"]!, host["b"]!, out, m, n, k, (product, row, col) => {
    const biased = product + (bias?.[col] ?? 0);
    const active = epilogue.activation === "gelu-tanh" ? gelu(biased) : biased;
    return gate && residual ? active * gate[col]! + residual[row * n + col]! : active;
  });
}
