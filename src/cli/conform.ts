// troupe conform: every provider's kernels against the float64 reference on this machine, hostile shapes included.
// Exit status 1 when one of them is wrong, crashes, hangs or writes outside its output.
import { Command } from "commander";
import { TroupeError } from "../core/error.js";
import { cpuTarget } from "../device/cpu/target.js";
import { cudaTarget } from "../device/cuda/target.js";
import { PROVIDERS } from "../provider/open.js";
import type { Effort } from "../provider/provider.js";
import { conform, type ConformanceLine, type ConformanceReport } from "../tuner/conform.js";
import type { CommandContext } from "./context.js";
import { oneOf, whole } from "./options.js";
import { table, Ui } from "./ui.js";

interface ConformFlags {
  readonly provider?: string;
  readonly dtype: "auto" | "f32" | "bf16";
  readonly effort: Effort;
  readonly threads?: number;
  readonly device: "auto" | "cpu" | "cuda";
  readonly json?: boolean;
  readonly quiet?: boolean;
}

export const conformCommand = ({ signal, exit }: CommandContext): Command =>
  new Command("conform")
    .description("check every provider's kernels against the reference on this machine")
    .option("--provider <name>", "only this one", oneOf(...PROVIDERS.map(({ name }) => name)))
    .option("--dtype <dtype>", "auto, f32 or bf16; auto checks both", oneOf("auto", "f32", "bf16"), "auto")
    .option(
      "--effort <effort>",
      "candidates a region: none (one), quick, full (all)",
      oneOf("none", "quick", "full"),
      "quick",
    ) // prettier-ignore
    .option("--device <device>", "auto (the CPU), cpu or cuda", oneOf("auto", "cpu", "cuda"), "auto")
    .option("--threads <count>", "CPU threads", whole(1))
    .option("--json", "print JSON lines")
    .option("--quiet", "print results only")
    .action(async (flags: ConformFlags) => {
      const ui = new Ui(flags);
      const target = flags.device === "cuda" ? cudaTarget() : cpuTarget(flags.threads);
      const reports: ConformanceReport[] = [];
      for (const spec of PROVIDERS.filter(({ name }) => flags.provider === undefined || name === flags.provider)) {
        let done = 0;
        const report = await conform(spec, target, {
          dtypes: flags.dtype === "auto" ? ["f32", "bf16"] : [flags.dtype],
          effort: flags.effort,
          signal,
          onLine: (line) => {
            ui.data("line", { provider: spec.name, ...line });
            if (line.outcome === "failed") ui.note(failure(spec.name, line));
            ui.count(spec.name, ++done, `${line.dtype} ${line.title}`);
          },
        });
        if (signal.aborted) throw new TroupeError("cancelled", "the suite was interrupted", { cause: signal.reason });
        reports.push(report);
        const { provider, version, passed, failed, cannot, reason } = report;
        ui.data("report", { provider, version, passed, failed, cannot, reason });
      }
      ui.result(reportTable(reports));
      if (reports.some(({ failed }) => failed > 0)) exit(1);
      const asked = flags.provider === undefined ? undefined : reports[0];
      if (asked && asked.version === undefined)
        throw new TroupeError("provider", `${asked.provider} is not available: ${asked.reason}`, {
          advice: "`troupe doctor` lists what is found and what is missing.",
        });
    });

const failure = (provider: string, { dtype, title, region, candidate, reason }: ConformanceLine): string =>
  `FAILED ${provider}${candidate === undefined ? "" : ` ${candidate}`}, ${dtype} ${title}, ${region}: ${reason}`;

function reportTable(reports: readonly ConformanceReport[]): string {
  const rows = reports.map(({ provider, version, reason, passed, failed, cannot, lines }) => {
    if (version === undefined) return [provider, "", "", "", "", `not available: ${reason}`];
    const errors = lines.flatMap(({ outcome, error }) => (outcome === "passed" && error !== undefined ? [error] : []));
    const worst = errors.length > 0 ? Math.max(...errors).toExponential(1) : "";
    return [provider, String(passed), String(failed), String(cannot), worst, failed > 0 ? "FAILED" : "ok"];
  });
  return table([["provider", "passed", "failed", "cannot", "worst error", "verdict"], ...rows]);
}
