// A plan of cuDNN as a kernel: packs of addresses, weights in the form that the library wants, and the copy of the
// channels that are wanted where the library makes more.
import koffi from "koffi";
import type { CudaDevice } from "../../device/cuda/device.js";
import { CudaModule, int64Bytes, LaunchArguments } from "../../device/cuda/module.js";
import type { Address, Step } from "../../device/device.js";
import { packOnDevice } from "../native/host-pack.js";
import type { Binding, Kernel } from "../provider.js";
import type { Form } from "./form.js";
import type { BackendGraph } from "./graph.js";
import { NARROW_THREADS, narrowBlocks, narrowSymbol } from "./narrow.js";

/** A plan with the graph that it is of. */
export interface Planned {
  readonly graph: BackendGraph;
  readonly plan: bigint;
}

/** Of an element. */
const BYTES = 2;
const ALIGNED_BYTES = 256;

/** What a result with more channels than are wanted takes in front of the library's workspace. */
export const wideBytes = ({ narrow }: Form): number =>
  narrow ? Math.ceil((narrow.size.reduce((a, b) => a * b) * narrow.channels * BYTES) / ALIGNED_BYTES) * ALIGNED_BYTES : 0; // prettier-ignore

export class PlanKernel implements Kernel {
  readonly #device: CudaDevice;
  readonly #name: string;
  readonly #form: Form;
  readonly #graph: BackendGraph;
  readonly #plan: bigint;
  /** Numbers of the host that packs point to. */
  readonly #numbers: Float32Array[] = [];

  readonly #narrow: CudaModule | undefined;

  /** Takes over the graph. `narrow`: compiled text of the copy, where the form has one. */
  constructor(device: CudaDevice, name: string, form: Form, { graph, plan }: Planned, narrow?: Uint8Array) {
    this.#device = device;
    this.#name = name;
    this.#form = form;
    this.#graph = graph;
    this.#plan = plan;
    this.#narrow = narrow && new CudaModule(device, narrow);
  }

  pack(index: number, from: Address, to: Address): void {
    packOnDevice(this.#device, this.#form.packs[index]!, from, to);
  }

  bind({ inputs, outputs, workspace }: Binding): readonly Step[] {
    const { library } = this.#graph;
    const addresses = this.#form.roles.map((role) => {
      if ("input" in role) return inputs[role.input]!;
      if ("packed" in role) return inputs[role.packed]!;
      if ("output" in role) return outputs[role.output]!;
      if ("wide" in role) return workspace;
      const number = Float32Array.of(role.number);
      this.#numbers.push(number);
      return BigInt(koffi.address(number));
    });
    const uids = this.#form.roles.map((_, i) => i + 1);
    const pack = this.#graph.pack(uids, addresses, workspace + BigInt(wideBytes(this.#form)));
    return [
      {
        kind: "launch",
        name: this.#name,
        launch: ({ handle }) => {
          library.call("cudnnSetStream", library.handle, handle);
          library.call("cudnnBackendExecute", library.handle, this.#plan, pack);
        },
      },
      ...this.#narrowed(workspace, outputs[0]!),
    ];
  }

  #narrowed(from: Address, to: Address): readonly Step[] {
    const { narrow } = this.#form;
    if (!narrow || !this.#narrow) return [];
    const fn = this.#narrow.fn(narrowSymbol);
    const args = new LaunchArguments([from, to].map(int64Bytes));
    const shape = { blocks: narrowBlocks(narrow), threads: NARROW_THREADS, sharedBytes: 0 };
    return [{ kind: "launch", name: `${this.#name}, channels wanted`, launch: (stream) => fn.launch(stream, shape, args) }]; // prettier-ignore
  }

  dispose(): void {
    this.#graph[Symbol.dispose]();
    this.#narrow?.[Symbol.dispose]();
  }
}
