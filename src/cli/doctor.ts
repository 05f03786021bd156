// troupe doctor: what this machine offers: device, compiler, providers with versions, and how to get what is missing.
import { freemem, totalmem } from "node:os";
import { Command } from "commander";
import { cacheFolder } from "../core/debug.js";
import { openMachine } from "../compile/machine.js";
import { completeProfile } from "../compile/profiles.js";
import { findCompiler } from "../device/cpu/compile.js";
import { cpuTarget, lastCacheBytes } from "../device/cpu/target.js";
import { isCannot } from "../device/native/found.js";
import { freeBytesOf } from "../device/cuda/open.js";
import { cudaDevice, cudaTarget, whyNoCudaDevice } from "../device/cuda/target.js";
import { openProviders } from "../provider/open.js";
import { whole } from "./options.js";
import { table, Ui } from "./ui.js";

const GIB = 2 ** 30;

export const doctorCommand = (): Command =>
  new Command("doctor")
    .description("show devices and kernel providers found, what is missing and how to get it")
    .option("--json", "print JSON lines")
    .option("--profile", "measure this machine, a minute or less, so that plans without tuning choose well")
    .option("--threads <count>", "CPU threads that the profile is for", whole(1))
    .action(async (options: { json?: boolean; profile?: boolean; threads?: number }) => {
      const ui = new Ui(options);
      if (options.profile) return profileMachine(ui, options.threads);
      const target = cpuTarget();
      const compiler = await findCompiler();
      const { providers, cannot, dispose } = await openProviders(target);
      const facts = {
        hardware: target.hardware,
        isa: target.isa.name,
        threads: target.threads,
        lastCacheBytes: lastCacheBytes(),
        memoryBytes: totalmem(),
        freeBytes: freemem(),
        compiler: isCannot(compiler) ? null : compiler.version,
        cache: cacheFolder(),
        node: process.version,
      };
      const gpu = await gpuFacts();
      ui.data("machine", { ...facts, gpu: gpu.facts });
      for (const { name, version } of providers) ui.data("provider", { name, version });
      for (const { name, reason } of cannot) ui.data("missing", { name, reason });
      ui.result(
        table([
          ["CPU", `${facts.hardware}, ${facts.isa}, ${facts.threads} threads`],
          ["memory", `${(facts.freeBytes / GIB).toFixed(1)} of ${(facts.memoryBytes / GIB).toFixed(1)} GiB free`],
          ["C compiler", isCannot(compiler) ? `none: ${compiler.cannot}` : compiler.version],
          ["Node", facts.node],
          ["cache", facts.cache],
          ["GPU", gpu.text],
        ]),
      );
      ui.result(`\nproviders\n${indent(table(providers.map(({ name, version }) => [name, version])))}`);
      if (cannot.length > 0)
        ui.result(`\nnot available\n${indent(table(cannot.map(({ name, reason }) => [name, reason])))}`);
      if (gpu.rows.length > 0) ui.result(`\non the GPU\n${indent(table(gpu.rows))}`);
      dispose();
    });

/** Completes the profile of products in f32. */
async function profileMachine(ui: Ui, threads: number | undefined): Promise<void> {
  using machine = await openMachine({ threads });
  const start = performance.now();
  const onProgress = (done: number, total: number): void => ui.progress("profile", done, total);
  const profile = await completeProfile(machine, "f32", { onProgress });
  const families = profile?.families ?? [];
  const samples = families.reduce((sum, family) => sum + family.samples.length, 0);
  const seconds = (performance.now() - start) / 1e3;
  ui.data("profile", { threads: machine.device.target.threads, families: families.length, samples, seconds });
  ui.result(`${families.length} families of kernels, ${samples} times, ${seconds.toFixed(1)} s`);
}

interface Gpu {
  readonly text: string;
  readonly facts: Readonly<Record<string, number | string>> | null;
  /** Providers there, with their versions or why they are missing. */
  readonly rows: readonly string[][];
}

/** The CUDA device and what works on it, or why there is none. */
async function gpuFacts(): Promise<Gpu> {
  const why = whyNoCudaDevice();
  if (why !== undefined) return { text: `none: ${why}`, facts: null, rows: [] };
  const { name, memoryBytes, driverVersion, capability } = cudaDevice().facts;
  const freeBytes = freeBytesOf(cudaDevice());
  const driver = `${Math.floor(driverVersion / 1000)}.${Math.floor(driverVersion / 10) % 100}`;
  const { providers, cannot, dispose } = await openProviders(cudaTarget());
  const missing = cannot.filter(({ reason }) => !/CPU|host memory/.test(reason));
  const rows = [...providers.map((p) => [p.name, p.version]), ...missing.map((p) => [p.name, `missing: ${p.reason}`])];
  dispose();
  const memory = `${(freeBytes / GIB).toFixed(1)} of ${(memoryBytes / GIB).toFixed(1)} GiB free`;
  return {
    text: `${name}, capability ${(capability / 10).toFixed(1)}, driver for CUDA ${driver}, ${memory}`,
    facts: { name, capability, driver, memoryBytes, freeBytes },
    rows,
  };
}

const indent = (text: string): string => text.replace(/^/gm, "  ");
