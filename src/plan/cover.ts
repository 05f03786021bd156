// Which regions and candidates make up the plan: exact cover as an integer program, proven optimal.
// Options that share no value and no unmet need are independent, so the problem falls into segments; equal segments
// have equal program text and are solved once. Cycles between regions are cut off as they appear.
import { invariant, TroupeError } from "../core/error.js";
import type { ValueId } from "../graph/node.js";
import { coverProgram, factsOf, type CoverFacts, type CoverProgram, type Need } from "./cover-program.js";
import { cyclesOf, type Conversion, type Cover, type CoverProblem } from "./cover-problem.js";
import { solveBinary, type Infeasible, type Optimum } from "./solver.js";

/** Far more than models need: each round forbids at least one set of regions for good. */
const MOST_ROUNDS = 200;

/** The cheapest cover; throws TroupeError("plan") when there is none, "internal" when the solver fails. */
export async function cover(problem: CoverProblem): Promise<Cover> {
  const unlimited = await solve({ ...problem, packLimitBytes: Number.POSITIVE_INFINITY });
  if (!unlimited) throw impossible(problem);
  if (packBytes(problem, unlimited) <= problem.packLimitBytes) return unlimited;
  const limited = await solve(problem);
  if (!limited)
    throw new TroupeError("plan", `no choice of kernels keeps packed weights under ${problem.packLimitBytes} bytes`, {
      advice: "Allow more memory for packed weights.",
    });
  return limited;
}

/** Bytes of the distinct packs of a cover. */
export function packBytes(problem: CoverProblem, { chosen }: Pick<Cover, "chosen">): number {
  const packs = new Map(chosen.flatMap((index) => problem.options[index]!.packs).map(({ key, bytes }) => [key, bytes]));
  return [...packs.values()].reduce((sum, bytes) => sum + bytes, 0);
}

async function solve(problem: CoverProblem): Promise<Cover | undefined> {
  const facts = factsOf(problem);
  const solved = new Map<string, Optimum | Infeasible>();
  const cuts: (readonly number[])[] = [];
  for (let round = 0; round < MOST_ROUNDS; round++) {
    const chosen: number[] = [];
    const conversions: Conversion[] = [];
    for (const segment of segmentsOf(facts, cuts)) {
      const program = coverProgram(facts, segment.options, segment.needs, segment.cuts);
      const answer = solved.get(program.text) ?? (await solveBinary(program.text));
      solved.set(program.text, answer);
      if (answer.infeasible) return undefined;
      read(program, answer, chosen, conversions);
    }
    const cycles = cyclesOf(problem.options, chosen);
    if (cycles.length === 0) return finished(problem, chosen, conversions);
    for (const cycle of cycles) cuts.push(cycle.map((index) => problem.options[index]!.region));
  }
  throw new TroupeError("internal", `regions still form cycles after ${MOST_ROUNDS} cuts`);
}

function read(program: CoverProgram, answer: Optimum, chosen: number[], conversions: Conversion[]): void {
  for (const variable of answer.ones) {
    const option = program.options.get(variable);
    if (option !== undefined) chosen.push(option);
    const conversion = program.conversions.get(variable);
    if (conversion) conversions.push(conversion);
  }
}

function finished(problem: CoverProblem, chosen: readonly number[], conversions: readonly Conversion[]): Cover {
  const us =
    chosen.reduce((sum, index) => sum + problem.options[index]!.us, 0) +
    conversions.reduce((sum, { value, from, to }) => sum + problem.convertUs(value, from, to)!, 0);
  return { chosen: chosen.toSorted((a, b) => a - b), conversions, us };
}

interface Segment {
  readonly options: readonly number[];
  readonly needs: readonly Need[];
  readonly cuts: readonly (readonly number[])[];
}

/** Independent parts, in the order of their first option. Under a memory limit everything hangs together. */
function segmentsOf(facts: CoverFacts, cuts: readonly (readonly number[])[]): readonly Segment[] {
  const { options, packLimitBytes } = facts.problem;
  const parent = new Map<ValueId, ValueId>();
  const find = (value: ValueId): ValueId => {
    let root = value;
    while ((parent.get(root) ?? root) !== root) root = parent.get(root)!;
    for (let at = value; at !== root;) {
      const next = parent.get(at) ?? at;
      parent.set(at, root);
      at = next;
    }
    return root;
  };
  const join = (a: ValueId, b: ValueId): void => void parent.set(find(a), find(b));
  const anchor = (index: number): ValueId => {
    const [value] = options[index]!.makes;
    invariant(value !== undefined, "an option makes nothing");
    return value;
  };
  for (const option of options) for (const value of option.makes) join(value, option.makes[0]!);
  for (const { at, readers } of facts.needs) for (const reader of readers) join(at.value, anchor(reader));
  const regionAnchor = new Map(options.map((option, index) => [option.region, anchor(index)]));
  for (const cut of cuts) for (const region of cut) join(regionAnchor.get(region)!, regionAnchor.get(cut[0]!)!);
  if (Number.isFinite(packLimitBytes)) for (const option of options) join(option.makes[0]!, options[0]!.makes[0]!);

  const parts = new Map<ValueId, { options: number[]; needs: Need[]; cuts: (readonly number[])[] }>();
  options.forEach((_, index) => {
    const root = find(anchor(index));
    const part = parts.get(root) ?? { options: [], needs: [], cuts: [] };
    parts.set(root, part);
    part.options.push(index);
  });
  for (const need of facts.needs) {
    const part = parts.get(find(need.at.value));
    if (!part) throw impossible(facts.problem);
    part.needs.push(need);
  }
  for (const cut of cuts) parts.get(find(regionAnchor.get(cut[0]!)!))!.cuts.push(cut);
  return [...parts.values()];
}

function impossible(problem: CoverProblem): TroupeError {
  const made = new Set(problem.options.flatMap((option) => option.makes));
  const missing = problem.wanted.filter((value) => !made.has(value) && !problem.given.has(value));
  const why = missing.length > 0 ? `nothing makes values ${missing.join(", ")}` : "some value has no usable maker";
  return new TroupeError("plan", `no choice of kernels computes the whole graph: ${why}`, {
    advice: "A provider that can do every op, such as the reference, must be among those asked.",
    details: { missing },
  });
}
