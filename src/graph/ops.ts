// Every op by name. One line an op family; the op itself lives in op/<family>.ts.
import { TroupeError } from "../core/error.js";
import type { Node } from "./node.js";
import type { Op } from "./op.js";
import * as attention from "./op/attention.js";
import * as contraction from "./op/contraction.js";
import * as conv from "./op/conv.js";
import * as elementwise from "./op/elementwise.js";
import * as gather from "./op/gather.js";
import * as norm from "./op/norm.js";
import * as quantized from "./op/quantized.js";
import * as rope from "./op/rope.js";
import * as sample from "./op/sample.js";
import * as state from "./op/state.js";
import * as view from "./op/view.js";

const FAMILIES: readonly Readonly<Record<string, unknown>>[] = [
  view, contraction, quantized, attention, norm, elementwise, rope, conv, gather, sample, state,
]; // prettier-ignore

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
