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

/** Of one replay among many. */
export interface Sustained {
  readonly us: number;
  readonly joules: number;
}

const REPLAYS_A_LOOK = 4;
/** Share of the time after which clocks have settled. */
const SETTLED = 0.3;

/** Time and joules of a replay, of those that go on for so many seconds, between two ticks of the counter; undefined where it has fewer. */
export function sustained(counter: () => number | undefined, replay: () => void, seconds: number): Sustained | undefined {
  const ticks: { readonly done: number; readonly ms: number; readonly joules: number }[] = [];
  const start = performance.now();
  const passed = (): number => performance.now() - start;
  for (let done = 1; passed() < seconds * 1e3; done++) {
    replay();
    const joules = done % REPLAYS_A_LOOK === 0 ? counter() : undefined;
    if (joules !== undefined && joules !== ticks.at(-1)?.joules) ticks.push({ done, ms: passed(), joules });
  }
  const first = ticks.find(({ ms }) => ms > seconds * 1e3 * SETTLED);
  const last = ticks.at(-1);
  if (!first || !last || first === last) return undefined;
  const replays = last.done - first.done;
  return { us: ((last.ms - first.ms) * 1e3) / replays, joules: (last.joules - first.joules) / replays };
} // prettier-ignore
