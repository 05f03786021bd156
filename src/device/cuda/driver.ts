// libcuda.so.1 through koffi: the calls this project uses, with the exported names that carry today's ABI.
// koffi checks nothing, so the C prototypes stand here and nowhere else.
import "../native/stacks.js";
import koffi from "koffi";
import { TroupeError, messageOf } from "../../core/error.js";

/** Handles are addresses; device addresses are 64-bit integers. */
export type Handle = bigint;
export type DeviceAddress = bigint;

const PROTOTYPES = {
  cuInit: "int cuInit(uint32 flags)",
  cuDriverGetVersion: "int cuDriverGetVersion(int *out)",
  cuGetErrorName: "int cuGetErrorName(int error, _Out_ void **out)",
  cuGetErrorString: "int cuGetErrorString(int error, _Out_ void **out)",
  cuDeviceGetCount: "int cuDeviceGetCount(int *out)",
  cuDeviceGet: "int cuDeviceGet(int *out, int ordinal)",
  cuDeviceGetName: "int cuDeviceGetName(void *buffer, int bytes, int device)",
  cuDeviceGetAttribute: "int cuDeviceGetAttribute(int *out, int attribute, int device)",
  cuDeviceTotalMem_v2: "int cuDeviceTotalMem_v2(void *out, int device)",
  cuDevicePrimaryCtxRetain: "int cuDevicePrimaryCtxRetain(void *out, int device)",
  cuDevicePrimaryCtxRelease_v2: "int cuDevicePrimaryCtxRelease_v2(int device)",
  cuCtxSetCurrent: "int cuCtxSetCurrent(uint64 context)",
  cuCtxSynchronize: "int cuCtxSynchronize()",
  cuMemGetInfo_v2: "int cuMemGetInfo_v2(void *free, void *total)",
  cuMemAlloc_v2: "int cuMemAlloc_v2(void *out, uint64 bytes)",
  cuMemFree_v2: "int cuMemFree_v2(uint64 address)",
  cuMemHostAlloc: "int cuMemHostAlloc(void *out, uint64 bytes, uint32 flags)",
  cuMemFreeHost: "int cuMemFreeHost(uint64 address)",
  cuMemcpyHtoD_v2: "int cuMemcpyHtoD_v2(uint64 to, void *from, uint64 bytes)",
  cuMemcpyDtoH_v2: "int cuMemcpyDtoH_v2(void *to, uint64 from, uint64 bytes)",
  cuMemcpyHtoDAsync_v2: "int cuMemcpyHtoDAsync_v2(uint64 to, uint64 from, uint64 bytes, uint64 stream)",
  cuMemcpyDtoHAsync_v2: "int cuMemcpyDtoHAsync_v2(uint64 to, uint64 from, uint64 bytes, uint64 stream)",
  cuMemcpyDtoDAsync_v2: "int cuMemcpyDtoDAsync_v2(uint64 to, uint64 from, uint64 bytes, uint64 stream)",
  cuMemsetD8_v2: "int cuMemsetD8_v2(uint64 to, uint8 value, uint64 bytes)",
  cuMemsetD8Async: "int cuMemsetD8Async(uint64 to, uint8 value, uint64 bytes, uint64 stream)",
  cuMemsetD32Async: "int cuMemsetD32Async(uint64 to, uint32 value, uint64 words, uint64 stream)",
  cuStreamCreate: "int cuStreamCreate(void *out, uint32 flags)",
  cuStreamSynchronize: "int cuStreamSynchronize(uint64 stream)",
  cuStreamWaitEvent: "int cuStreamWaitEvent(uint64 stream, uint64 event, uint32 flags)",
  cuStreamDestroy_v2: "int cuStreamDestroy_v2(uint64 stream)",
  cuStreamBeginCapture_v2: "int cuStreamBeginCapture_v2(uint64 stream, int mode)",
  cuStreamEndCapture: "int cuStreamEndCapture(uint64 stream, void *out)",
  cuEventCreate: "int cuEventCreate(void *out, uint32 flags)",
  cuEventRecord: "int cuEventRecord(uint64 event, uint64 stream)",
  cuEventQuery: "int cuEventQuery(uint64 event)",
  cuEventSynchronize: "int cuEventSynchronize(uint64 event)",
  cuEventElapsedTime_v2: "int cuEventElapsedTime_v2(void *ms, uint64 start, uint64 end)",
  cuEventDestroy_v2: "int cuEventDestroy_v2(uint64 event)",
  cuModuleLoadData: "int cuModuleLoadData(void *out, void *image)",
  cuModuleUnload: "int cuModuleUnload(uint64 module)",
  cuModuleGetFunction: "int cuModuleGetFunction(void *out, uint64 module, str name)",
  cuFuncGetAttribute: "int cuFuncGetAttribute(int *out, int attribute, uint64 fn)",
  cuFuncSetAttribute: "int cuFuncSetAttribute(uint64 fn, int attribute, int value)",
  cuLaunchKernel:
    "int cuLaunchKernel(uint64 fn, uint32 gx, uint32 gy, uint32 gz, uint32 bx, uint32 by, uint32 bz, uint32 shared, uint64 stream, void *params, void *extra)",
  cuOccupancyMaxActiveClusters: "int cuOccupancyMaxActiveClusters(int *out, uint64 fn, void *config)",
  cuTensorMapEncodeTiled:
    "int cuTensorMapEncodeTiled(void *out, int dtype, uint32 rank, uint64 address, void *dims, void *strides, void *box, void *steps, int interleave, int swizzle, int promotion, int fill)",
  cuGraphInstantiateWithFlags: "int cuGraphInstantiateWithFlags(void *out, uint64 graph, uint64 flags)",
  cuGraphUpload: "int cuGraphUpload(uint64 exec, uint64 stream)",
  cuGraphLaunch: "int cuGraphLaunch(uint64 exec, uint64 stream)",
  cuGraphExecDestroy: "int cuGraphExecDestroy(uint64 exec)",
  cuGraphDestroy: "int cuGraphDestroy(uint64 graph)",
} as const;

export type DriverCall = keyof typeof PROTOTYPES;
/** What koffi passes as a pointer: typed arrays are lent for the call, null is a null pointer. */
export type Argument = number | bigint | string | null | ArrayBufferView;

export interface Driver {
  /** Calls and throws a TroupeError unless the result is CUDA_SUCCESS. */
  readonly call: (name: DriverCall, ...args: readonly Argument[]) => void;
  /** Calls and returns the CUresult. */
  readonly attempt: (name: DriverCall, ...args: readonly Argument[]) => number;
  /** Calls with one more argument in front, a place for a handle or a 64-bit number, and returns that. */
  readonly make: (name: DriverCall, ...args: readonly Argument[]) => bigint;
  /** The same for a 32-bit int. */
  readonly ask: (name: DriverCall, ...args: readonly Argument[]) => number;
  /** major · 1000 + minor · 10. */
  readonly version: number;
}

let loaded: Driver | TroupeError | undefined;

/**
 * The driver, loaded and initialised once a process.
 * @throws TroupeError "provider" where there is no driver or no device.
 */
export function cudaDriver(): Driver {
  loaded ??= load();
  if (loaded instanceof TroupeError) throw loaded;
  return loaded;
}

/** Why there is no CUDA here, or undefined when there is. */
export function whyNoCuda(): string | undefined {
  try {
    cudaDriver();
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}

/** major · 1000 + minor · 10: graphs, tensor maps and event times as they are called here. */
const LEAST_VERSION = 12_080;
const shown = (version: number): string => `${Math.floor(version / 1000)}.${Math.floor(version / 10) % 100}`;

function load(): Driver | TroupeError {
  try {
    const library = koffi.load("libcuda.so.1");
    const driver = bind(library);
    const version = driver.ask("cuDriverGetVersion");
    if (version < LEAST_VERSION)
      throw new TroupeError(
        "provider",
        `the NVIDIA driver is for CUDA ${shown(version)}; ${shown(LEAST_VERSION)} is the least`,
        {
          advice: "Update the driver, or use a CPU target.",
          details: { version },
        },
      );
    driver.call("cuInit", 0);
    return { ...driver, version };
  } catch (error) {
    return error instanceof TroupeError
      ? error
      : new TroupeError("provider", `the CUDA driver libcuda.so.1 could not be loaded: ${messageOf(error)}`, {
          advice: "install an NVIDIA driver, or use a CPU target",
          cause: error,
        });
  }
}

type Native = (...args: readonly unknown[]) => number;

function bind(library: ReturnType<typeof koffi.load>): Omit<Driver, "version"> {
  const functions = new Map<DriverCall, Native>();
  const of = (name: DriverCall): Native => {
    let fn = functions.get(name);
    if (!fn) functions.set(name, (fn = library.func(PROTOTYPES[name]) as unknown as Native));
    return fn;
  };
  const attempt = (name: DriverCall, ...args: readonly Argument[]): number => of(name)(...args);
  const describe = (which: "cuGetErrorName" | "cuGetErrorString", code: number): string => {
    const out: [unknown] = [null];
    if (of(which)(code, out) !== 0 || out[0] === null) return String(code);
    return String(koffi.decode(out[0], "char", -1));
  };
  const call = (name: DriverCall, ...args: readonly Argument[]): void => {
    const code = attempt(name, ...args);
    if (code !== 0) throw driverError(name, code, describe("cuGetErrorName", code), describe("cuGetErrorString", code));
  };
  const make = (name: DriverCall, ...args: readonly Argument[]): bigint => {
    const out = new BigUint64Array(1);
    call(name, out, ...args);
    return out[0]!;
  };
  const ask = (name: DriverCall, ...args: readonly Argument[]): number => {
    const out = new Int32Array(1);
    call(name, out, ...args);
    return out[0]!;
  };
  return { attempt, call, make, ask };
}

/** Codes after which every later call of the process fails too. */
const STICKY = new Set([700, 702, 710, 714, 715, 716, 717, 718, 719]);
const ADVICE: Readonly<Record<number, string>> = {
  2: "free memory on the device, or choose a smaller model or batch",
  100: "no CUDA device is visible; look at CUDA_VISIBLE_DEVICES",
  209: "the module was built for another GPU; clear the cache of compiled kernels",
  222: "the driver is older than the compiler; update the driver",
};

function driverError(name: DriverCall, code: number, label: string, text: string): TroupeError {
  const sticky = STICKY.has(code);
  const advice = ADVICE[code] ?? (sticky ? "the device context is lost; start a new process" : undefined);
  return new TroupeError(code === 2 ? "memory" : "provider", `${name} failed: ${label} (${code}), ${text}`, {
    ...(advice === undefined ? {} : { advice }),
    details: { call: name, code, sticky },
  });
}
