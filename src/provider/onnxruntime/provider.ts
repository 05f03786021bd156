// ONNX Runtime as a provider: any f32 region whose ops have ONNX forms becomes a session of its own.
// A session packs weights for itself, so it is made when a kernel is bound and the weights are in place.
import { dtypeBytes } from "../../core/dtype.js";
import { TroupeError } from "../../core/error.js";
import { sizeOf } from "../../core/shape.js";
import type { Address, Step, Target } from "../../device/device.js";
import { NativeScope } from "../../device/native/scope.js";
import { runSteps } from "../native/runs.js";
import type { NodeId, Params } from "../../graph/node.js";
import { firstTry } from "../../device/native/first-try.js";
import type { Region, Regions } from "../../graph/region.js";
import { emptyOperand } from "../empty.js";
import {
  isCannot, type Binding, type Candidate, type Cannot, type Choice, type Effort, type Kernel, type Provider, type ProviderFactory,
} from "../provider.js"; // prettier-ignore
import { OnnxRuntime, type OrtTensor, type SessionPool } from "./binding.js";
import { encodeExported, exportRegion, type Exported, type Port } from "./export.js";
import { onnxRuntimeQuery } from "./library.js";
import { mostLiveBytes } from "./live.js";
import { onnxPatterns } from "./patterns.js";

class OnnxRuntimeProvider implements Provider {
  readonly name = "onnxruntime";
  readonly version: string;

  constructor(private readonly ort: OnnxRuntime) {
    this.version = ort.version;
  }

  patterns(regions: Regions): Iterable<readonly NodeId[]> {
    return onnxPatterns(regions);
  }

  candidates(region: Region, effort: Effort): readonly Candidate[] | Cannot {
    const empty = emptyOperand(region);
    if (empty) return empty;
    const all = this.#variants(region, effort).map((params) => this.#candidate(region, params));
    const good = all.filter((answer): answer is Candidate => !isCannot(answer));
    return good.length > 0 ? good : all.find(isCannot)!;
  }

  revive(region: Region, choice: Choice): Candidate | Cannot {
    return this.#candidate(region, choice.params);
  }

  dispose(): void {
    this.ort[Symbol.dispose]();
  }

  /** The best guess first. Threads and memory of its own are for whole models: many sessions with pools are ruinous. */
  #variants(region: Region, effort: Effort): readonly Params[] {
    const attends = region.nodes.some(({ op }) => op === "attention");
    const variants: readonly Params[] = attends ? [{ attention: "fused" }, { attention: "products" }] : [{}];
    if (effort === "none") return variants.slice(0, 1);
    const isAlone = effort === "full" && isModel(region);
    const own = !isAlone ? [] : this.ort.options.threads > 1 ? (["sleeps", "spins"] as const) : (["sleeps"] as const);
    return [...variants, ...own.flatMap((pool) => variants.map((params) => ({ ...params, pool })))];
  }

  #candidate(region: Region, params: Params): Candidate | Cannot {
    const exported = exportRegion(region, params);
    if (isCannot(exported)) return exported;
    return {
      provider: "onnxruntime",
      id: ["session", ...wordsOf(params)].join(", "),
      params,
      layouts: { inputs: region.inputs.map(() => undefined), outputs: region.outputs.map(() => undefined) },
      aliases: [],
      packs: [],
      workspaceBytes: copiesOf(exported).workspaceBytes,
      own: {
        weightsBytes: exported.weights.reduce((sum, port) => sum + bytesOf(port), 0),
        scratchBytes: mostLiveBytes(region),
      },
      accumulation: "f32",
      capturable: false,
      build: async () => new SessionKernel(this.ort, region, exported, poolOf(params)),
    };
  }
}

const poolOf = ({ pool }: Params): SessionPool => (pool === "sleeps" || pool === "spins" ? pool : "shared");

const wordsOf = (params: Params): readonly string[] => [
  ...(params.attention === "products" ? ["attention in products"] : []),
  ...{ shared: [], sleeps: ["own pool"], spins: ["own pool, spinning"] }[poolOf(params)],
];

/** Whether a region may be a model of its own: long, and nothing that others compute comes in. */
const isModel = ({ nodes, inputs }: Region): boolean =>
  nodes.length >= FEWEST_MODEL_NODES && inputs.every(({ kind }) => kind !== "activation");

const ALIGNMENT_BYTES = 64;
const FEWEST_MODEL_NODES = 16;

const bytesOf = (port: Port): number => sizeOf(port.shape) * dtypeBytes(port.dtype);

/** Where the dense copies of windows lie in the workspace. */
function copiesOf({ inputs, outputs }: Exported): {
  readonly workspaceBytes: number;
  readonly offsets: ReadonlyMap<Port, number>;
} {
  const offsets = new Map<Port, number>();
  let at = 0;
  for (const port of [...inputs, ...outputs]) {
    if (!port.runs) continue;
    offsets.set(port, at);
    at += Math.ceil(bytesOf(port) / ALIGNMENT_BYTES) * ALIGNMENT_BYTES;
  }
  return { workspaceBytes: at, offsets };
}

class SessionKernel implements Kernel {
  readonly #scope = new NativeScope();
  readonly #model: Uint8Array;
  readonly #name: string;

  constructor(
    private readonly ort: OnnxRuntime,
    region: Region,
    private readonly exported: Exported,
    private readonly pool: SessionPool,
  ) {
    this.#model = encodeExported(exported);
    const { length } = region.nodes;
    this.#name = `ONNX Runtime ${length === 1 ? region.nodes[0]!.op : `${length} nodes`}`;
  }

  pack(index: number): void {
    throw new TroupeError("internal", `ONNX Runtime packs for itself, so there is no pack ${index}`);
  }

  /** @throws TroupeError "provider" with ONNX Runtime's sentence when it refuses the model. */
  bind(binding: Binding): readonly Step[] {
    const { inputs, weights, outputs } = this.exported;
    const { offsets } = copiesOf(this.exported);
    const at =
      (addresses: readonly Address[]) =>
      (port: Port): OrtTensor => {
        const copy = offsets.get(port);
        const address = copy === undefined ? addresses[port.index]! : binding.workspace + BigInt(copy);
        return { ...port, address, bytes: bytesOf(port) };
      };
    const session = this.ort.session(this.#model, weights.map(at(binding.inputs)), this.pool);
    if (isCannot(session)) throw new TroupeError("provider", session.cannot, { details: { step: this.#name } });
    this.#scope.own(session);
    const [from, to] = [inputs.map(at(binding.inputs)), outputs.map(at(binding.outputs))];
    const words = session.words(this.#scope, from, to);
    const explain = (status: bigint): string => this.ort.message(BigInt.asUintN(64, status));
    return [
      ...inputs.flatMap((port, i) => moves(port, binding.inputs[port.index]!, from[i]!.address, "in")),
      { kind: "native", name: this.#name, fn: this.ort.runFunction, words, status: "null", explain },
      ...outputs.flatMap((port, i) => moves(port, binding.outputs[port.index]!, to[i]!.address, "out")),
    ];
  }

  dispose(): void {
    this.#scope.dispose();
  }
}

const moves = ({ runs, dtype }: Port, window: Address, copy: Address, direction: "in" | "out"): readonly Step[] =>
  runs ? runSteps(runs, dtype, { window, copy }, direction) : [];

export const factory: ProviderFactory = {
  name: "onnxruntime",
  open: async (target: Target): Promise<Provider | Cannot> => {
    if (target.device !== "cpu") return { cannot: "ONNX Runtime is used on the CPU only" };
    const tried = await firstTry({
      queries: [onnxRuntimeQuery()],
      module: new URL("./smoke.js", import.meta.url).href,
    });
    if (tried) return tried;
    const ort = OnnxRuntime.open({ threads: target.threads });
    return isCannot(ort) ? ort : new OnnxRuntimeProvider(ort);
  },
};
