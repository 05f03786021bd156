// Opening the device of a target.
import { openCpuDevice } from "./cpu/open.js";
import { openCuda } from "./cuda/open.js";
import type { Device, Target } from "./device.js";

/** Throws TroupeError("provider") where the target's device is not here. */
export async function openDevice(target: Target): Promise<Device> {
  return target.device === "cuda" ? openCuda(target) : openCpuDevice(target);
}
