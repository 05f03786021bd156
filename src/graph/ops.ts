// Every op by name. One line an op family; the op itself lives in op/<family>.ts.
import { TroupeError } from "../core/error.js";
import type { Node } from "./node.js";
import type { Op } from "./op.js";
import * as view from "./op/view.js";

const FAMILIES: readonly Readonly<Record<string, unknown>>[] = [view];

const isOp = (member: unknown): member is Op =>
  typeof member === "object" && member !== null && "traits" in member && "infer" in member;

export const ops: ReadonlyMap<string, Op> = new Map(
  FAMILIES.flatMap((family) => Object.values(family).filter(isOp)).map((op) => [op.name, op]),
);

/** The op of a node. */
export function opOf(node: Pick<Node, "op">): Op {
  const op = ops.get(node.op);
  if (!op) throw new TroupeError("internal", `no op is named ${node.op}`);
  return op;
}
