// Plans under a limit of memory: where the chosen ones take more, those of some components give way to leaner ones,
// packs shed or values smaller, at the least loss of time.
import { bytesText } from "../core/printable.js";
import { Regions } from "../graph/region.js";
import type { Plan } from "../plan/plan.js";
import { planNeeds, sumNeeds, totalBytes, type MemoryNeeds } from "../session/needs.js";
import type { CompiledComponent, CompileEvent } from "./component.js";
import { rivalPlans } from "./contenders.js";
import type { Machine } from "./machine.js";
import { noRoom } from "./room.js";

interface Option {
  readonly plan: Plan;
  readonly needs: MemoryNeeds;
}

interface Trade {
  readonly saved: number;
  readonly lostUs: number;
}

/**
 * The components with plans that take no more than `limitBytes` together, and what they take.
 * Throws TroupeError("memory") with the least that was found.
 */
export async function fitMemory(
  machine: Machine,
  compiled: readonly CompiledComponent[],
  limitBytes: number,
  onEvent?: (event: CompileEvent) => void,
): Promise<{ readonly compiled: readonly CompiledComponent[]; readonly needs: MemoryNeeds }> {
  const optionOf = ({ graph }: CompiledComponent, plan: Plan): Option => ({
    plan,
    needs: planNeeds(plan, new Regions(graph), machine.providers),
  });
  let taken = compiled.map((one) => optionOf(one, one.plan));
  const total = (): number => totalBytes(sumNeeds(taken.map(({ needs }) => needs)));
  if (total() > limitBytes) {
    const others = await Promise.all(
      compiled.map(async (one) => {
        const { plans } = await rivalPlans(machine, one, { lean: true });
        return [...plans.values()].map((plan) => optionOf(one, plan));
      }),
    );
    while (total() > limitBytes) {
      const steps = taken.flatMap((now, at) =>
        (others[at] ?? []).map((option) => ({ at, option, ...trade(now, option) })),
      );
      const [best] = steps.filter(({ saved }) => saved > 0).sort(byLoss);
      if (!best)
        throw noRoom(
          taken.map(({ needs }, i) => ({ name: compiled[i]!.component.name, bytes: totalBytes(needs) })),
          limitBytes,
        );
      taken = taken.map((now, at) => (at === best.at ? best.option : now));
    }
  }
  return {
    compiled: compiled.map((one, i) => {
      const { plan, needs } = taken[i]!;
      if (plan === one.plan) return one;
      const text = `${one.component.name}: the ${plan.label} plan is taken, which needs ${bytesText(totalBytes(needs))} of memory`;
      onEvent?.({ kind: "note", text });
      return { ...one, plan };
    }),
    needs: sumNeeds(taken.map(({ needs }) => needs)),
  };
}

/** What another plan of a component saves, and what it costs where both were measured. */
function trade(now: Option, other: Option): Trade {
  const lostUs = (other.plan.expectedUs ?? 0) - (now.plan.expectedUs ?? 0);
  return { saved: totalBytes(now.needs) - totalBytes(other.needs), lostUs };
}

/** The least time lost for a byte first; where no times are known, what saves most. */
const byLoss = (a: Trade, b: Trade): number => a.lostUs / a.saved - b.lostUs / b.saved || b.saved - a.saved;
