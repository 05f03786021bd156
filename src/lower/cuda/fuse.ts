// Neighbouring folds of the same elements become one, so that those are read once.
import { inside, show, substituted, variable } from "../scalar.js";
import type { Expr, Stmt } from "../thread.js";
import type { BlockStmt, Fold, Walk } from "./block-program.js";

export function fused(body: readonly BlockStmt[]): BlockStmt[] {
  const made: BlockStmt[] = [];
  for (const stmt of body) {
    const before = made.at(-1);
    if (stmt.kind === "for") made.push({ ...stmt, body: fused(stmt.body) });
    else if (stmt.kind === "fold" && before?.kind === "fold" && mayMeet(before, stmt))
      made[made.length - 1] = together(before, stmt);
    else made.push(stmt);
  }
  return made;
}

function mayMeet(a: Fold, b: Fold): boolean {
  const sides = [a, b].map(({ kept, over, order, shared, joins }) => ({
    shared,
    sizes: [kept, over].map((walks) => walks.map(({ max, live }) => `${max} ${show(live)}`)),
    order: order.map((name) => [...kept, ...over].findIndex((walk) => walk.name === name)),
    isPlain: joins.every(({ position }) => position === null),
  }));
  const read = new Set([...b.joins.map(({ value }) => value), ...[...b.body, ...b.after].flatMap(valuesIn)].flatMap(buffersIn)); // prettier-ignore
  const waits = a.after.some((stmt) => stmt.kind === "store" && read.has(stmt.buffer));
  return !waits && sides[0]!.isPlain && JSON.stringify(sides[0]) === JSON.stringify(sides[1]);
}

function together(a: Fold, b: Fold): Fold {
  const walks = ({ kept, over }: Fold): readonly Walk[] => [...kept, ...over];
  const names = new Map(walks(b).map(({ name }, i) => [name, walks(a)[i]!.name]));
  const of = (x: Expr): Expr => substituted(x, (name) => (names.has(name) ? variable("index", names.get(name)!) : undefined)); // prettier-ignore
  const renamed = (stmt: Stmt): Stmt => {
    if (stmt.kind === "let") return { ...stmt, value: of(stmt.value) };
    return stmt.kind === "store" ? { ...stmt, index: of(stmt.index), value: of(stmt.value) } : stmt;
  };
  return {
    ...a,
    body: [...a.body, ...b.body.map(renamed)],
    joins: [...a.joins, ...b.joins.map((join) => ({ ...join, value: of(join.value) }))],
    after: [...a.after, ...b.after.map(renamed)],
  };
}

const valuesIn = (stmt: Stmt): readonly Expr[] =>
  stmt.kind === "let" ? [stmt.value] : stmt.kind === "store" ? [stmt.index, stmt.value] : [];

const buffersIn = (x: Expr): readonly string[] => [
  ...(x.kind === "load" ? [x.buffer] : []),
  ...inside(x).flatMap(buffersIn),
];
