// The provider of last resort: computes any single op in JavaScript, in float64, on memory the host can see. It needs no
// compiler and no library, and its results are what other providers' results are compared with at model size.
import { HostTensor } from "../../check/host-tensor.js";
import { computeDense } from "../../check/dense/table.js";
import { isContiguous } from "../../core/shape.js";
import type { Address, Step, Target } from "../../device/device.js";
import type { Node } from "../../graph/node.js";
import { hasTrait } from "../../graph/op.js";
import { opOf } from "../../graph/ops.js";
import type { Operand, Region } from "../../graph/region.js";
import { emptyOperand } from "../empty.js";
import type { Binding, Candidate, Cannot, Choice, Kernel, Provider, ProviderFactory } from "../provider.js";
import { isCannot } from "../provider.js";

const NAME = "reference";
const ID = "float64";

export const factory: ProviderFactory = {
  name: NAME,
  open: async (target) => open(target),
};

function open(target: Target): Provider | Cannot {
  if (target.device !== "cpu") return { cannot: `it computes on host memory, not on ${target.device}` };
  return {
    name: NAME,
    version: "1",
    patterns: () => [],
    candidates(region) {
      const candidate = offer(region);
      return isCannot(candidate) ? candidate : [candidate];
    },
    revive: (region, choice) => offer(region, choice),
    dispose: () => undefined,
  };
}

function offer(region: Region, choice?: Choice): Candidate | Cannot {
  if (choice && choice.id !== ID) return { cannot: `it has no ${choice.id}` };
  const [node, ...others] = region.nodes;
  if (!node || others.length > 0) return { cannot: "it computes one op at a time" };
  const empty = emptyOperand(region);
  if (empty) return empty;
  return {
    provider: NAME,
    id: ID,
    params: {},
    layouts: { inputs: region.inputs.map(() => undefined), outputs: region.outputs.map(() => undefined) },
    aliases: mayOverwrite(region, node),
    packs: [],
    workspaceBytes: 0,
    accumulation: "f64",
    capturable: false,
    build: async () => new ReferenceKernel(region, node),
  };
}

/** Inputs are read whole before outputs are written, so an output may lie where an equal input lay. */
function mayOverwrite(region: Region, node: Node): Candidate["aliases"] {
  if (!hasTrait(opOf(node), "pointwise")) return [];
  const alike = (a: Operand, b: Operand): boolean =>
    a.dtype === b.dtype &&
    a.shape.join() === b.shape.join() &&
    isContiguous(a.shape, a.strides) &&
    isContiguous(b.shape, b.strides);
  return region.outputs.flatMap((out, output) =>
    region.inputs.flatMap((operand, input) =>
      operand.kind === "activation" && alike(out, operand) ? [{ output, input }] : [],
    ),
  );
}

class ReferenceKernel implements Kernel {
  readonly #region: Region;
  readonly #node: Node;

  constructor(region: Region, node: Node) {
    this.#region = region;
    this.#node = node;
  }

  pack(): void {}

  bind(binding: Binding): readonly Step[] {
    const { inputs, outputs } = this.#region;
    const node = this.#node;
    const at = (operands: readonly Operand[], addresses: readonly Address[]): Map<number, HostTensor> =>
      new Map(operands.map((operand, i) => [operand.value, new HostTensor(operand, addresses[i]!)]));
    const sources = at(inputs, binding.inputs);
    const targets = at(outputs, binding.outputs);
    const run = (): void => {
      const read = node.inputs.map((value) => {
        const tensor = sources.get(value)!;
        return { dtype: tensor.window.dtype, shape: tensor.window.shape, data: tensor.read() };
      });
      computeDense(node.op, node.params, read).forEach((result, i) => {
        targets.get(node.outputs[i]!)?.write(result.data);
      });
    };
    return [{ kind: "host", name: `${NAME} ${node.op}`, run }];
  }

  dispose(): void {}
}
