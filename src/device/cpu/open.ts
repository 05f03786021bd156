// The CPU opened for use: the step table compiled where a C compiler is, calls one by one where none is.
import { isCannot } from "../native/found.js";
import type { Device, Target } from "../device.js";
import { setNativeThreads } from "../../core/debug.js";
import { compileC, findCompiler } from "./compile.js";
import { openCpu } from "./device.js";
import { EXECUTOR_SOURCE, loadExecutor } from "./executor.js";
import { cpuTarget } from "./target.js";

/** Opens this machine's CPU. Never fails for want of a compiler: the device's programs then say how they run. */
export async function openCpuDevice(target: Target = cpuTarget()): Promise<Device> {
  const compiler = await findCompiler();
  if (isCannot(compiler)) return openCpu(target);
  setNativeThreads(target.threads); // the step table brings libgomp with it
  return openCpu(target, loadExecutor(await compileC(compiler, EXECUTOR_SOURCE)));
}
