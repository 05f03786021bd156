// What the steps of a block read again stays with the threads: where several steps go through the same elements in the
// same way, a thread keeps the few words that it has read, instead of going back to memory for each step. A row's mean,
// its variance and what is made of both then read the row once.
import { dtypeBytes } from "../../core/dtype.js";
import { isConst, show, substituted, variable } from "../scalar.js";
import type { Buffer } from "../thread.js";
import { elementsOf, firstOf, unitsOf, type BlockStmt, type Each, type Fold, type Walk, type Wide } from "./block-program.js"; // prettier-ignore

/** One read of a step that all threads go through unit by unit. */
interface Read {
  readonly step: Each | Fold;
  readonly wide: Wide;
  readonly walks: readonly Walk[];
}

/** Threads of a block, and bytes of registers that each gives to what it keeps. */
export interface Keepers {
  readonly threads: number;
  readonly bytes: number;
}

/** Whether some step keeps what it reads. */
export const keeps = (body: readonly BlockStmt[]): boolean =>
  body.some((stmt) => stmt.kind === "hold" || (stmt.kind === "for" && keeps(stmt.body)));

/** The same steps; first a declaration of every array that several of them read, and those then say so. */
export function holding(
  body: readonly BlockStmt[],
  buffers: readonly Buffer[],
  keepers: Keepers,
): readonly BlockStmt[] {
  const { threads } = keepers;
  const groups = new Map<string, Read[]>();
  for (const read of body.flatMap((stmt) => readsOf(stmt, buffers, threads))) {
    const key = keyOf(read);
    groups.set(key, [...(groups.get(key) ?? []), read]);
  }
  const names = new Map<Wide, { readonly name: string; readonly reads: boolean }>();
  const declared: BlockStmt[] = [];
  let left = keepers.bytes;
  for (const [first, ...later] of groups.values()) {
    if (!first || later.length === 0) continue;
    const { name, buffer, elements } = first.wide;
    const passes = Math.ceil(unitsOf(first.walks, first.step.width) / threads);
    const bytes = passes * elements * dtypeBytes(buffers.find((other) => other.name === buffer)!.dtype);
    if (bytes > left) continue;
    left -= bytes;
    declared.push({ kind: "hold", name: `${name}_held`, buffer, passes, elements });
    [first, ...later].forEach(({ wide }, i) => names.set(wide, { name: `${name}_held`, reads: i === 0 }));
  }
  const holds = (stmt: BlockStmt): BlockStmt => {
    if (stmt.kind === "for") return { ...stmt, body: holding(stmt.body, buffers, keepers) };
    if (stmt.kind !== "each" && stmt.kind !== "fold") return stmt;
    return { ...stmt, wides: stmt.wides.map((wide) => (names.has(wide) ? { ...wide, held: names.get(wide)! } : wide)) };
  };
  return [...declared, ...body.map(holds)];
}

/** Reads of tensors that nobody writes, by a step whose units all threads take in turn. */
function readsOf(stmt: BlockStmt, buffers: readonly Buffer[], threads: number): readonly Read[] {
  if (stmt.kind !== "each" && stmt.kind !== "fold") return [];
  if (stmt.kind === "each" ? stmt.serial : stmt.shared !== "block" || elementsOf(stmt.kept) !== 1) return [];
  const walks = stmt.kind === "each" ? stmt.walks : stmt.over;
  const units = unitsOf(walks, stmt.width);
  const byTurns = walks.length === 1 && units >= threads && (units === threads || threads % units !== 0);
  if (!byTurns || walks.some(({ live, max }) => !isConst(live, max))) return [];
  const isRead = (name: string): boolean => buffers.some((buffer) => buffer.name === name && buffer.at.kind === "param" && !buffer.writable); // prettier-ignore
  return stmt.wides
    .filter(({ mode, guard, buffer }) => mode === "in" && guard === null && isRead(buffer))
    .map((wide) => ({ step: stmt, wide, walks }));
}

/** What reads of equal elements by the same threads have in common. */
function keyOf({ step, wide, walks }: Read): string {
  const [walk] = walks as [Walk];
  const index = substituted(wide.index, (name) =>
    name === firstOf(walk.name) ? variable("index", "first") : undefined,
  );
  return `${wide.buffer} ${show(index)} ${wide.elements} ${step.width} ${walk.max}`;
}
