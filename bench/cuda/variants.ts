// The spike's candidates: the project's tile texts under several schedules and shapes.
import type { AttentionSchedule, MatmulSchedule } from "../../src/lower/cuda/schedule.js";
import { renderCuda } from "../../src/render/cuda/canonical.js";
import type { CudaKernel } from "../../src/device/cuda/kernel.js";
import type { Cannot } from "../../src/lower/cuda/form.js";
import { attention } from "../../src/tile/suite/attention.js";
import { linear, matmul, type Epilogue } from "../../src/tile/suite/matmul.js";
import { trace } from "../../src/tile/index.js";

export interface MatmulCase {
  readonly kind: "matmul";
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly epilogue: Epilogue | null;
}
export interface AttentionCase {
  readonly kind: "attention";
  readonly heads: number;
  readonly queries: number;
  readonly keys: number;
  readonly depth: number;
  readonly causal: boolean;
}
export type Case = MatmulCase | AttentionCase;
export interface Variant {
  readonly id: string;
  readonly case: Case;
  readonly schedule: MatmulSchedule | AttentionSchedule;
}

const mm = (m: number, n: number, k: number, epilogue: Epilogue | null = null): MatmulCase => ({
  kind: "matmul",
  m,
  n,
  k,
  epilogue,
});
const at = (heads: number, queries: number, keys: number, depth: number, causal = false): AttentionCase => ({
  kind: "attention", heads, queries, keys, depth, causal,
}); // prettier-ignore
const ms = (blockM: number, blockN: number, stages: number, consumers: 1 | 2 | 3, cluster: 1 | 2, groupM: number): MatmulSchedule => ({
  kind: "matmul", blockM, blockN, stages, consumers, cluster, groupM,
}); // prettier-ignore
const as = (consumers: 1 | 2 | 3, blockKeys: number, stages: number, pingPong: boolean, splitTail = consumers === 2): AttentionSchedule => ({
  kind: "attention", consumers, blockKeys, stages, pingPong, splitTail,
}); // prettier-ignore

const named = (c: Case, s: MatmulSchedule | AttentionSchedule): Variant => {
  const size =
    c.kind === "matmul"
      ? `mm${c.m}x${c.n}x${c.k}${
          c.epilogue
            ? `+${Object.entries(c.epilogue)
                .map(([key, x]) => (x === true ? key : String(x)))
                .join("+")}`
            : ""
        }`
      : `at${c.heads}x${c.queries}x${c.keys}x${c.depth}${c.causal ? "c" : ""}`;
  const how =
    s.kind === "matmul"
      ? `${s.blockM}x${s.blockN}s${s.stages}w${s.consumers}c${s.cluster}g${s.groupM}`
      : `w${s.consumers}k${s.blockKeys}s${s.stages}${s.pingPong ? "p" : ""}${s.splitTail ? "t" : ""}`;
  return { id: `${size}.${how}`, case: c, schedule: s };
};

const square = mm(4096, 4096, 4096);
const flux = at(24, 4352, 4352, 128);
const causal = at(24, 4352, 4352, 128, true);
const gated: Epilogue = { bias: true, gatedResidual: true };
const gelu: Epilogue = { bias: true, activation: "gelu-tanh" };

const narrow = mm(4352, 3072, 3072, gated);
const deep = mm(4352, 3072, 12288, gated);
const wide = mm(4352, 12288, 3072, gelu);

export const VARIANTS: readonly Variant[] = [
  ...[ms(128, 256, 3, 2, 1, 8), ms(128, 256, 4, 2, 1, 8), ms(128, 256, 4, 2, 2, 4)].map((s) => named(square, s)),
  ...[as(2, 176, 2, true, false), as(2, 176, 2, true), as(2, 128, 2, true), as(2, 176, 2, false)].map((s) => named(flux, s)),
  ...[as(2, 128, 2, true), as(2, 128, 2, false)].map((s) => named(causal, s)),
  ...[as(2, 128, 2, true, false), as(2, 128, 2, true)].map((s) => named(at(8, 512, 512, 128), s)),
  ...[ms(128, 256, 3, 2, 1, 8), ms(192, 192, 3, 3, 1, 8), ms(192, 192, 3, 3, 2, 4)].map((s) => named(narrow, s)),
  ...[ms(128, 256, 3, 2, 1, 8), ms(192, 192, 3, 3, 1, 8), ms(128, 192, 4, 2, 1, 8)].map((s) => named(deep, s)),
  ...[ms(128, 256, 4, 2, 1, 8), ms(128, 256, 4, 2, 2, 4)].map((s) => named(wide, s)),
  ...[ms(128, 256, 4, 2, 1, 8), ms(128, 256, 4, 2, 2, 4)].map((s) => named(mm(8192, 8192, 8192), s)),
]; // prettier-ignore

/** The kernel of a variant, from the project's text for it. */
export function renderVariant({ case: c, schedule }: Variant): CudaKernel | Cannot {
  const text =
    c.kind === "matmul"
      ? c.epilogue
        ? linear("bf16", c.epilogue)
        : matmul("bf16")
      : attention("bf16", { scale: c.depth ** -0.5, causal: c.causal });
  return renderCuda(trace(text), schedule, c.kind === "attention" ? { D: c.depth } : {});
}
