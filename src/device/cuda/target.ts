// What a CUDA device is to code generation, and the one device of this process that everything shares.
import { messageOf } from "../../core/error.js";
import type { Target } from "../device.js";
import { CudaDevice, type CudaFacts } from "./device.js";

let shared: CudaDevice | undefined;

/**
 * The device of this process: kernels, libraries and memory all live in its primary context.
 * @throws TroupeError "provider" without a driver or a device.
 */
export const cudaDevice = (): CudaDevice => (shared ??= new CudaDevice());

/** "sm_90a" with the features of that chip alone, "sm_80" for code that later chips run too. */
export const architectureOf = ({ capability }: Pick<CudaFacts, "capability">): string =>
  capability === 90 ? "sm_90a" : `sm_${capability}`;

/** This machine's GPU as a target. @throws TroupeError "provider" without one. */
export function cudaTarget(): Target {
  const { facts } = cudaDevice();
  const isa = { name: architectureOf(facts), vectorBytes: 16, bf16: facts.capability >= 80 };
  return { device: "cuda", hardware: facts.name, isa, threads: 1 };
}

/** Why no CUDA device can be used, or undefined when one can. */
export function whyNoCudaDevice(): string | undefined {
  try {
    const { capability, name } = cudaDevice().facts;
    return capability >= 80 ? undefined : `${name} has capability ${capability / 10}; 8.0 is the least`;
  } catch (error) {
    return messageOf(error);
  }
}
