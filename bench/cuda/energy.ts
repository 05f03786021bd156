// What the GPU has consumed, by NVML's counter. At its power limit a card is as slow as its work is hungry, so joules say
// there what milliseconds cannot: whether other kernels would be faster.
import koffi from "koffi";

/** Joules that device 0 has consumed since its driver was loaded; undefined where NVML or its counter is missing. The counter moves every tenth of a second or so. */
export function energyCounter(): () => number | undefined {
  try {
    const library = koffi.load("libnvidia-ml.so.1");
    const init = library.func("int nvmlInit_v2()") as unknown as () => number;
    const handleByIndex = library.func("int nvmlDeviceGetHandleByIndex_v2(uint index, _Out_ void **device)") as unknown as (index: number, device: unknown[]) => number; // prettier-ignore
    const totalEnergy = library.func("int nvmlDeviceGetTotalEnergyConsumption(void *device, _Out_ uint64 *millijoules)") as unknown as (device: unknown, millijoules: (number | bigint)[]) => number; // prettier-ignore
    const device: unknown[] = [null];
    if (init() !== 0 || handleByIndex(0, device) !== 0) return () => undefined;
    return () => {
      const millijoules: (number | bigint)[] = [0];
      return totalEnergy(device[0], millijoules) === 0 ? Number(millijoules[0]) / 1e3 : undefined;
    };
  } catch {
    return () => undefined;
  }
}

/** Joules of what `work` does, which must take long beside a tenth of a second and end before it returns. */
export function joulesOf(counter: () => number | undefined, work: () => void): number | undefined {
  const before = counter();
  work();
  const after = counter();
  return before === undefined || after === undefined ? undefined : after - before;
}
