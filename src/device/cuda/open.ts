// A CUDA device opened for use: the device contract over the driver.
import { TroupeError } from "../../core/error.js";
import type { Device, Target } from "../device.js";
import type { CudaDevice } from "./device.js";
import { DeviceBuffer, Staging } from "./memory.js";
import { CudaNumbers } from "./numbers.js";
import { CudaProgram } from "./program.js";
import { cudaDevice, cudaTarget } from "./target.js";

/** Bytes a context and its libraries want for themselves. */
const RESERVED_BYTES = 512 << 20;

/**
 * Opens this process' CUDA device.
 * @throws TroupeError "provider" without a driver or a device, or when the target is another device than the one here.
 */
export function openCuda(target: Target = cudaTarget()): Device {
  const device = cudaDevice();
  const here = cudaTarget();
  if (target.device !== "cuda" || target.isa.name !== here.isa.name || target.hardware !== here.hardware)
    throw new TroupeError("provider", `the target ${target.hardware} ${target.isa.name} is not the GPU here`, {
      advice: `It is ${here.hardware} ${here.isa.name}; compile for it.`,
    });
  let staging: Staging | undefined;
  let numbers: CudaNumbers | undefined;
  const stage = (): Staging => (staging ??= new Staging(device));
  return {
    target,
    get numbers() {
      return (numbers ??= new CudaNumbers(device));
    },
    freeBytes: () => Math.max(0, freeBytesOf(device) - RESERVED_BYTES),
    allocate: (bytes) => new DeviceBuffer(device, bytes, stage),
    copy: (name, to, from, bytes) => ({
      kind: "launch",
      name,
      launch: (stream) => device.driver.call("cuMemcpyDtoDAsync_v2", to, from, bytes, stream.handle),
    }),
    program: (steps) => new CudaProgram(device, steps),
    dispose: () => {
      staging?.[Symbol.dispose]();
      numbers?.[Symbol.dispose]();
      [staging, numbers] = [undefined, undefined];
    },
  };
}

/** Free memory of the device, as the driver tells it. */
export function freeBytesOf(device: CudaDevice): number {
  const [free, total] = [new BigUint64Array(1), new BigUint64Array(1)];
  device.driver.call("cuMemGetInfo_v2", free, total);
  return Number(free[0]);
}
