// The machine a model is compiled for: an opened device and the providers found for it.
import { availableParallelism } from "node:os";
import { debug, setCompilerThreads } from "../core/debug.js";
import { TroupeError } from "../core/error.js";
import type { Device } from "../device/device.js";
import { findCompiler } from "../device/cpu/compile.js";
import { cpuTarget } from "../device/cpu/target.js";
import { cudaTarget } from "../device/cuda/target.js";
import { isCannot } from "../device/native/found.js";
import { openDevice } from "../device/open.js";
import { openProviders, PROVIDERS, type Opened, type ProviderSpec } from "../provider/open.js";
import type { Provider } from "../provider/provider.js";
import { forecastOf, type Forecast } from "../tuner/shapes/forecast.js";

export interface Machine extends Disposable {
  readonly device: Device;
  readonly specs: readonly ProviderSpec[];
  readonly opened: Opened;
  readonly providers: ReadonlyMap<string, Provider>;
  /** Provider name → version. */
  readonly versions: Readonly<Record<string, string>>;
  /** Times of what was never measured here, from the stored profile. */
  readonly forecast: Forecast;
  /** What a user should know of this machine before long work; empty when nothing is missing. */
  readonly notes: readonly string[];
}

export interface MachineOptions {
  /** "auto" is the CPU. */
  readonly device?: "auto" | "cpu" | "cuda" | undefined;
  /** CPU threads; all that the process may use unless given. */
  readonly threads?: number | undefined;
  readonly specs?: readonly ProviderSpec[] | undefined;
}

/** Thread pools end the process when the system refuses them a thread. */
const MOST_THREADS = 1024;

/**
 * Opens a device and every provider that works on it. The device comes first: it sets how native pools start.
 * Throws TroupeError("usage" | "provider") where there is no such number of threads or no such device here.
 */
export async function openMachine({
  device: kind = "auto",
  threads,
  specs = PROVIDERS,
}: MachineOptions = {}): Promise<Machine> {
  if (threads !== undefined && !(Number.isInteger(threads) && threads >= 1 && threads <= MOST_THREADS))
    throw new TroupeError("usage", `${threads} is no number of threads`, {
      advice: `Use a whole number from 1 to ${MOST_THREADS}; as many as there are cores is usually best.`,
    });
  if (kind === "cuda") setCompilerThreads(availableParallelism());
  const device = await openDevice(kind === "cuda" ? cudaTarget() : cpuTarget(threads));
  const opened = await openProviders(device.target, specs);
  const dispose = (): void => {
    opened.dispose();
    device.dispose();
  };
  const notes = kind === "cuda" ? [] : await compilerNotes();
  for (const { name, reason } of opened.cannot) debug(1, `${name} is not used: ${reason}`);
  for (const note of notes) debug(1, note);
  const versions = Object.fromEntries(opened.providers.map(({ name, version }) => [name, version]));
  return {
    device,
    specs,
    opened,
    providers: new Map(opened.providers.map((provider) => [provider.name, provider])),
    versions,
    forecast: forecastOf(device.target, opened.providers),
    notes,
    [Symbol.dispose]: dispose,
  };
}

async function compilerNotes(): Promise<readonly string[]> {
  const compiler = await findCompiler();
  if (isCannot(compiler))
    return [`${compiler.cannot}; without one, libraries and JavaScript compute everything, slower`];
  return compiler.openmp ? [] : [`${compiler.version} has no OpenMP: our own kernels run on one thread`];
}
