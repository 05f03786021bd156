// ONNX Runtime as a provider: any f32 region whose ops have ONNX forms becomes a session of its own.
// A session packs weights for itself, so it is made when a kernel is bound and the weights are in place.
import { dtypeBytes } from "../../core/dtype.js";
import { TroupeError } from "../../core/error.js";
import { sizeOf } from "../../core/shape.js";
import type { Step, Target } from "../../device/device.js";
import { NativeScope } from "../../device/native/scope.js";
import type { NodeId, Params } from "../../graph/node.js";
import type { Region, Regions } from "../../graph/region.js";
import {
  isCannot, type Binding, type Candidate, type Cannot, type Choice, type Effort, type Kernel, type Provider, type ProviderFactory,
} from "../provider.js"; // prettier-ignore
import { OnnxRuntime, type OrtTensor } from "./binding.js";
import { encodeExported, exportRegion, type Exported, type Port } from "./export.js";
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
    const attends = region.nodes.some(({ op }) => op === "attention");
    const variants: readonly Params[] = attends ? [{ attention: "fused" }, { attention: "products" }] : [{}];
    const all = (effort === "none" ? variants.slice(0, 1) : variants).map((params) => this.#candidate(region, params));
    const good = all.filter((answer): answer is Candidate => !isCannot(answer));
    return good.length > 0 ? good : all.find(isCannot)!;
  }

  revive(region: Region, choice: Choice): Candidate | Cannot {
    return this.#candidate(region, choice.params);
  }

  dispose(): void {
    this.ort[Symbol.dispose]();
  }

  #candidate(region: Region, params: Params): Candidate | Cannot {
    const exported = exportRegion(region, params);
    if (isCannot(exported)) return exported;
    return {
      provider: "onnxruntime",
      id: params.attention === "products" ? "session, attention in products" : "session",
      params,
      layouts: { inputs: region.inputs.map(() => undefined), outputs: region.outputs.map(() => undefined) },
      aliases: [],
      packs: [],
      workspaceBytes: 0,
      accumulation: "f32",
      capturable: false,
      build: async () => new SessionKernel(this.ort, region, exported),
    };
  }
}

class SessionKernel implements Kernel {
  readonly #scope = new NativeScope();
  readonly #model: Uint8Array;
  readonly #name: string;

  constructor(
    private readonly ort: OnnxRuntime,
    region: Region,
    private readonly exported: Exported,
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
    const at = (addresses: readonly bigint[]) => (port: Port): OrtTensor => ({
      ...port,
      address: addresses[port.index]!,
      bytes: sizeOf(port.shape) * dtypeBytes(port.dtype),
    }); // prettier-ignore
    const session = this.ort.session(this.#model, weights.map(at(binding.inputs)));
    if (isCannot(session)) throw new TroupeError("provider", session.cannot, { details: { step: this.#name } });
    this.#scope.own(session);
    const words = session.words(this.#scope, inputs.map(at(binding.inputs)), outputs.map(at(binding.outputs)));
    const explain = (status: bigint): string => this.ort.message(BigInt.asUintN(64, status));
    return [{ kind: "native", name: this.#name, fn: this.ort.runFunction, words, status: "null", explain }];
  }

  dispose(): void {
    this.#scope.dispose();
  }
}

export const factory: ProviderFactory = {
  name: "onnxruntime",
  open: async (target: Target): Promise<Provider | Cannot> => {
    if (target.device !== "cpu") return { cannot: "ONNX Runtime is used on the CPU only" };
    const ort = OnnxRuntime.open({ threads: target.threads });
    return isCannot(ort) ? ort : new OnnxRuntimeProvider(ort);
  },
};
