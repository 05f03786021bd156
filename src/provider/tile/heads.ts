// Linear layers whose columns are heads that are normed and turned: query, key and value of a block with their RMS norms
// and rotary embedding, as one region and as the task of one kernel.
import type { Node, NodeId, ValueId } from "../../graph/node.js";
import type { Operand, Region, Regions } from "../../graph/region.js";
import type { HeadPart, Located, Task } from "../../kernel/task.js";
import { inputIndex, isView, onlyReader } from "../native/chain.js";

/** Each joint product of linear layers with the norms of heads that read its parts, and the rotations that read those. */
export function* headPatterns(regions: Regions): Generator<readonly NodeId[]> {
  for (const head of regions.work) {
    if (head.op !== "linear") continue;
    const [, ...parts] = regions.shownBy(head.outputs[0]!);
    const ids = parts.flatMap((value) => {
      const norm = readerOf(regions, value, "rms_norm");
      const turn = norm && readerOf(regions, norm.outputs[0]!, "rope");
      return norm ? [norm.id, ...(turn ? [turn.id] : [])] : [];
    });
    if (ids.length > 0) yield [head.id, ...ids];
  }
}

function readerOf(regions: Regions, value: ValueId, op: string): Node | undefined {
  const reader = onlyReader(regions, value);
  return reader?.op === op ? reader : undefined;
}

/** Columns of the product. */
interface Columns {
  readonly start: number;
  readonly length: number;
}

/** The task of a region that is such a layer, its operands lying as they do; undefined where it is none. */
export function headsOf(region: Region): Task | undefined {
  const [head, ...rest] = region.nodes.filter((node) => !isView(node));
  if (head?.op !== "linear" || rest.length === 0 || head.inputs.length < 2) return undefined;
  const located = (operand: Operand, source: Located["source"]): Located => ({ ...operand, source });
  const input = (value: ValueId): Located | undefined => {
    const index = inputIndex(region, value);
    return index === undefined ? undefined : located(region.inputs[index]!, { input: index });
  };
  const inputs = head.inputs.map(input);
  if (inputs.some((operand) => operand === undefined) || inputs[0]!.shape.length !== 3) return undefined;
  const columns = columnsOf(region, head);
  const norms = rest.filter(({ op }) => op === "rms_norm");
  const turns = rest.filter(({ op }) => op === "rope");
  const [first] = norms;
  const [turn] = turns;
  if (!first || norms.length + turns.length < rest.length) return undefined;
  const width = region.graph.values[first.inputs[0]!]!.shape.at(-1)!;
  const alike = norms.every((node) => node.inputs.length === 2 && node.params["eps"] === first.params["eps"]);
  const turnsAlike = turns.every((node) => node.params["style"] === "interleaved" && node.inputs[1] === turn!.inputs[1] && node.inputs[2] === turn!.inputs[2]); // prettier-ignore
  if (!alike || !turnsAlike || (turns.length > 0 && turns.length !== norms.length) || width % 2 !== 0) return undefined;
  const tables = turn ? ([input(turn.inputs[1]!), input(turn.inputs[2]!)] as const) : null;
  if (tables?.includes(undefined)) return undefined;

  const parts: (HeadPart & Columns)[] = [];
  for (const [index, operand] of region.outputs.entries()) {
    const rotation = turns.find(({ outputs }) => outputs[0] === operand.value);
    const norm = norms.find(({ outputs }) => outputs[0] === (rotation ? rotation.inputs[0] : operand.value));
    if ((norm !== undefined) !== (rotation !== undefined) && turns.length > 0) return undefined;
    const span = columns.get(norm ? norm.inputs[0]! : operand.value);
    const weight = norm && input(norm.inputs[1]!);
    if (!span || span.length % width !== 0 || (norm && (!weight || operand.shape.at(-1) !== width))) return undefined;
    parts.push({ ...span, heads: span.length / width, norm: weight ?? null, output: byHeads(located(operand, { output: index }), width) }); // prettier-ignore
  }
  parts.sort((a, b) => a.start - b.start);
  const isWhole = parts.reduce((end, { start, length }) => (start === end ? end + length : Number.NaN), 0) === columns.get(head.outputs[0]!)!.length; // prettier-ignore
  const plain = parts.findIndex(({ norm }) => norm === null);
  if (!isWhole || parts.filter(({ norm }) => norm).length !== norms.length || (plain >= 0 && plain < norms.length)) return undefined; // prettier-ignore
  return {
    head,
    inputs: inputs as readonly Located[],
    links: [],
    output: parts[0]!.output,
    heads: { width, eps: Number(first.params["eps"]), tables: tables as readonly [Located, Located] | null, parts },
  };
}

/** [B, T, heads · width] or [B, T, heads, width] as the latter. */
function byHeads(operand: Located, width: number): Located {
  const { shape, strides } = operand;
  if (shape.length === 4) return operand;
  const [batch, tokens, columns] = shape as readonly [number, number, number];
  const [b, t, d] = strides as readonly [number, number, number];
  return { ...operand, shape: [batch, tokens, columns / width, width], strides: [b, t, width * d, d] };
}

/** Which columns of the product the values inside a region show, over slices and joins of columns and heads. */
function columnsOf(region: Region, head: Node): ReadonlyMap<ValueId, Columns> {
  const shapeOf = (value: ValueId): readonly number[] => region.graph.values[value]!.shape;
  const found = new Map<ValueId, Columns>([[head.outputs[0]!, { start: 0, length: shapeOf(head.outputs[0]!).at(-1)! }]]); // prettier-ignore
  for (const node of region.nodes) {
    const spans = node.inputs.map((value) => found.get(value));
    const [span] = spans;
    const [output] = node.outputs as readonly [ValueId];
    const isLast = node.params["axis"] === shapeOf(output).length - 1;
    if (!isView(node) || !span || spans.includes(undefined) || found.has(output)) continue;
    if (node.op === "slice" && isLast && shapeOf(output).length === 3)
      found.set(output, { start: span.start + Number(node.params["start"]), length: Number(node.params["length"]) });
    if (node.op === "concat" && isLast && shapeOf(output).length === 3) {
      const length = spans.reduce((sum, part) => sum + part!.length, 0);
      const isRun = spans.every((part, i) => i === 0 || part!.start === spans[i - 1]!.start + spans[i - 1]!.length);
      if (isRun) found.set(output, { start: span.start, length });
    }
    const [from, to] = [shapeOf(node.inputs[0]!), shapeOf(output)];
    if (node.op === "reshape" && from[0] === to[0] && from[1] === to[1]) found.set(output, span);
  }
  return found;
}
