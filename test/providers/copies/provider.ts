// Two ways to "compute" a product natively, for profiles, which check no values: one copies as many bytes as the result
// has, the other jumps to nowhere.
import type { Step } from "../../../src/device/device.js";
import { dtypeBytes } from "../../../src/core/dtype.js";
import { sizeOf } from "../../../src/core/shape.js";
import { copyFunction } from "../../../src/device/native/memory.js";
import type { Region } from "../../../src/graph/region.js";
import type { Binding, Candidate, ProviderFactory } from "../../../src/provider/provider.js";

const NOWHERE = 8n;

function candidate(region: Region, id: string): Candidate {
  const [output] = region.outputs as readonly [Region["outputs"][number]];
  const bytes = sizeOf(output.shape) * dtypeBytes(output.dtype);
  const bind = ({ outputs, workspace }: Binding): readonly Step[] => [
    { kind: "native", name: id, fn: id === "deadly" ? NOWHERE : copyFunction(), words: [outputs[0]!, workspace, bytes], status: "ignored" },
  ]; // prettier-ignore
  return {
    provider: "copies",
    id,
    params: {},
    layouts: { inputs: region.inputs.map(() => undefined), outputs: [undefined] },
    aliases: [],
    packs: [],
    workspaceBytes: bytes,
    accumulation: "f32",
    capturable: true,
    build: async () => ({ pack: () => undefined, bind, dispose: () => undefined }),
  };
}

export const factory: ProviderFactory = {
  name: "copies",
  open: async () => ({
    name: "copies",
    version: "1",
    patterns: () => [],
    candidates: (region) => [candidate(region, "steady"), candidate(region, "deadly")],
    revive: (region, { id }) => candidate(region, id),
    dispose: () => undefined,
  }),
};
