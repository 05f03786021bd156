// What a kernel is made for: one op of the graph, the pointwise ops that follow it, and where their operands lie.
import type { Expr } from "../core/scalar.js";
import type { Node } from "../graph/node.js";
import type { Operand } from "../graph/region.js";
import { stepsOver, type Frame, type Steps } from "./frame.js";
import { apply, type Term } from "./pointwise.js";
import type { Body, Places, Sheet, Source, Temporary } from "./sheet.js";

export interface Located extends Pick<Operand, "dtype" | "shape" | "strides" | "kind"> {
  readonly source: Source | Temporary;
}

export interface TaskLink {
  readonly expression: Expr;
  /** Which argument of the expression the running value is. */
  readonly at: number;
  readonly other: Located | null;
}

export interface Task {
  readonly head: Node;
  readonly inputs: readonly Located[];
  readonly links: readonly TaskLink[];
  readonly output: Located;
  /** Of a linear layer: what becomes of the heads that its columns are. */
  readonly heads?: HeadProjection;
  /** Of a convolution: each pixel of its first operand is doubled both ways before. */
  readonly doubles?: true;
  /** Of a convolution: the group norm, with what follows it, that reads the result. */
  readonly norm?: Task;
}

/** Neighbouring columns of a linear layer as heads of one width, and where they go. */
export interface HeadPart {
  readonly heads: number;
  /** [width], where each head is divided by its root mean square, weighed and, with tables, turned. */
  readonly norm: Located | null;
  /** [B, T, heads, width]. */
  readonly output: Located;
}

export interface HeadProjection {
  readonly width: number;
  readonly eps: number;
  /** cos and sin, f32[T, width / 2]: angles of neighbouring elements. */
  readonly tables: readonly [Located, Located] | null;
  /** In the order of the columns, the normed ones first. */
  readonly parts: readonly HeadPart[];
}

/** The other operands of the links, then the output: what every kernel with an epilogue must bring into its frame. */
export const trailing = (task: Task): readonly Located[] => [
  ...task.links.flatMap(({ other }) => (other ? [other] : [])),
  task.output,
];

export const trailingSteps = (task: Task): readonly Steps[] =>
  trailing(task).map(({ shape, strides }) => stepsOver(task.output.shape, shape, strides));

/** Declares the trailing operands as parameters e0, e1, … and `out`; `first` is their place among the frame's operands. */
export function declareTrailing(sheet: Sheet, task: Task, frame: Frame, first: number): void {
  const operands = trailing(task);
  operands.forEach(({ source, dtype }, i) => {
    const { axes, strides } = frame.operands[first + i]!;
    const isOutput = i === operands.length - 1;
    sheet.parameter(isOutput ? "out" : `e${i}`, isOutput ? "out" : "in", source, dtype, axes, strides);
  });
}

/** Applies the links to `value`, stores the result and returns it as it was before it was rounded. `points` are the axes that a program takes one position of. */
export function finish(body: Body, task: Task, value: Term, at: Places, points: readonly string[] = []): Term {
  let running = value;
  let e = 0;
  for (const { expression, at: position, other } of task.links) {
    const name = other ? `e${e++}` : "";
    const loaded: Term | null = other && { tile: body.floats(name, at), axes: without(body.axesOf(name), points) };
    const args = loaded ? (position === 0 ? [running, loaded] : [loaded, running]) : [running];
    running = apply(body.t, expression, args);
  }
  body.store("out", at, running.tile);
  return running;
}

export const without = (axes: readonly string[], points: readonly string[]): string[] =>
  axes.filter((axis) => !points.includes(axis));
