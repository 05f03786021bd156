// A plan of cuDNN as a kernel: packs of addresses, and filters turned so that their channels lie innermost.
import koffi from "koffi";
import { TroupeError } from "../../core/error.js";
import type { CudaDevice } from "../../device/cuda/device.js";
import type { Address, Step } from "../../device/device.js";
import type { Binding, Kernel } from "../provider.js";
import type { Form } from "./form.js";
import type { BackendGraph } from "./graph.js";

export class PlanKernel implements Kernel {
  readonly #device: CudaDevice;
  readonly #name: string;
  readonly #form: Form;
  readonly #graph: BackendGraph;
  readonly #plan: bigint;
  /** Numbers of the host that packs point to. */
  readonly #numbers: Float32Array[] = [];

  /** Takes over the graph. */
  constructor(device: CudaDevice, name: string, form: Form, graph: BackendGraph, plan: bigint) {
    this.#device = device;
    this.#name = name;
    this.#form = form;
    this.#graph = graph;
    this.#plan = plan;
  }

  /** From [O, C, R, S] to the same elements with C innermost, by way of the host: once a weight. */
  pack(_index: number, from: Address, to: Address): void {
    const { turned } = this.#form;
    if (!turned) throw new TroupeError("internal", `${this.#name} packs nothing`);
    const [O, C, R, S] = turned.shape;
    const old = new Uint16Array(O * C * R * S);
    const young = new Uint16Array(old.length);
    this.#device.driver.call("cuMemcpyDtoH_v2", old, from, old.byteLength);
    for (let o = 0, at = 0; o < O; o++)
      for (let tap = 0; tap < R * S; tap++) for (let c = 0; c < C; c++) young[at++] = old[(o * C + c) * R * S + tap]!;
    this.#device.driver.call("cuMemcpyHtoD_v2", to, young, young.byteLength);
    this.#device.driver.call("cuStreamSynchronize", 0n);
  }

  bind({ inputs, outputs, workspace }: Binding): readonly Step[] {
    const { library } = this.#graph;
    const addresses = this.#form.roles.map((role) => {
      if ("input" in role) return inputs[role.input]!;
      if ("packed" in role) return inputs[role.packed]!;
      if ("output" in role) return outputs[role.output]!;
      const number = Float32Array.of(role.number);
      this.#numbers.push(number);
      return BigInt(koffi.address(number));
    });
    const uids = this.#form.roles.map((_, i) => i + 1);
    const pack = this.#graph.pack(uids, addresses, workspace);
    return [
      {
        kind: "launch",
        name: this.#name,
        launch: ({ handle }) => {
          library.call("cudnnSetStream", library.handle, handle);
          library.call("cudnnBackendExecute", library.handle, this.#plan, pack);
        },
      },
    ];
  }

  dispose(): void {
    this.#graph[Symbol.dispose]();
  }
}
