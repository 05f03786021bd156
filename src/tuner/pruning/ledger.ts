// How methods did in the regions measured so far: one that was far behind in several regions of a kind is not built for
// the next one. Where a convolution of one size takes Winograd tiles, its sisters do.
import type { Region } from "../../graph/region.js";
import { hasTrait } from "../../graph/op.js";
import { opOf } from "../../graph/ops.js";
import { workOf } from "../worker/expectation.js";

/** Behind the best by this factor every time. */
const FAR = 1.25;
const LEAST_REGIONS = 2;

export interface Timed {
  readonly provider: string;
  readonly method: string | undefined;
  readonly us: number;
}

export const methodKey = ({
  provider,
  method,
}: Pick<Timed, "provider"> & { readonly method?: string | undefined }): string => `${provider} ${method}`;

/** Regions with the same main ops in the same dtype. */
function kindOf(region: Region): string {
  const work = workOf(region);
  const main = work.filter((node) => hasTrait(opOf(node), "contraction"));
  const ops = (main.length > 0 ? main : work).map(({ op }) => op);
  return `${[...new Set(ops)].join("+")} ${region.outputs[0]?.dtype}`;
}

export class Ledger {
  /** Kind → method → times the best, a number a region. */
  readonly #ratios = new Map<string, Map<string, number[]>>();

  note(region: Region, timed: readonly Timed[]): void {
    if (timed.length < 2) return;
    const best = Math.min(...timed.map(({ us }) => us));
    const known = this.#ratios.get(kindOf(region)) ?? new Map<string, number[]>();
    this.#ratios.set(kindOf(region), known);
    const own = new Map<string, number>();
    for (const one of timed) {
      if (one.method === undefined) continue;
      const key = methodKey(one);
      own.set(key, Math.min(own.get(key) ?? Number.POSITIVE_INFINITY, one.us / best));
    }
    for (const [key, ratio] of own) known.set(key, [...(known.get(key) ?? []), ratio]);
  }

  /** Methods not worth trying on a region. */
  lost(region: Region): readonly string[] {
    const known = this.#ratios.get(kindOf(region)) ?? new Map<string, number[]>();
    return [...known]
      .filter(([, ratios]) => ratios.length >= LEAST_REGIONS && Math.min(...ratios) > FAR)
      .map(([key]) => key);
  }
}
