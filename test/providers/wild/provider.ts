// Writes where no memory is, on a CUDA device: the device is lost to the process that runs it.
import { compileCuda } from "../../../src/device/cuda/compile.js";
import { CudaModule, LaunchArguments } from "../../../src/device/cuda/module.js";
import { architectureOf, cudaDevice } from "../../../src/device/cuda/target.js";
import type { Region } from "../../../src/graph/region.js";
import type { Candidate, Kernel, ProviderFactory } from "../../../src/provider/provider.js";

const NAME = "wild";
const TEXT = `extern "C" __global__ void ${NAME}() { *(volatile int*)16 = 1; }`;

async function build(): Promise<Kernel> {
  const device = cudaDevice();
  const module = new CudaModule(device, compileCuda(TEXT, architectureOf(device.facts)).cubin);
  const fn = module.fn(NAME);
  const shape = { blocks: 1, threads: 1, sharedBytes: 0 };
  return {
    pack: () => undefined,
    bind: () => [{ kind: "launch", name: NAME, launch: (stream) => fn.launch(stream, shape, new LaunchArguments([])) }],
    dispose: () => module[Symbol.dispose](),
  };
}

const candidate = ({ inputs, outputs }: Region): Candidate => ({
  provider: NAME,
  id: NAME,
  params: {},
  layouts: { inputs: inputs.map(() => undefined), outputs: outputs.map(() => undefined) },
  aliases: [],
  packs: [],
  workspaceBytes: 0,
  accumulation: "f32",
  capturable: true,
  build,
});

export const factory: ProviderFactory = {
  name: NAME,
  open: async () => ({
    name: NAME,
    version: "1",
    patterns: () => [],
    candidates: (region) => [candidate(region)],
    revive: candidate,
    dispose: () => undefined,
  }),
};
