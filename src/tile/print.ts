// Print: a tile program as text, one op a line, for golden tests, reports of bugs and people.
import {
  constantOf,
  isConstant,
  type Index,
  type LoopOp,
  type Op,
  type Operand,
  type Position,
  type TileProgram,
  type Value,
} from "./program.js";

export interface PrintOptions {
  /** Append the line of the kernel text to every op. */
  readonly where?: boolean;
}

export function print(program: TileProgram, options: PrintOptions = {}): string {
  const lines: string[] = [];
  const line = (depth: number, text: string, where?: string): void => {
    const indented = "  ".repeat(depth) + text;
    lines.push(options.where && where ? `${indented.padEnd(72)}  ; ${where}` : indented);
  };
  const params = program.params.map((p) => `${p.mode} ${p.name}: ${p.dtype}[${p.axes.join(" ")}]`);
  line(0, `kernel ${program.name}(${params.join(", ")})`);
  const fixed = program.axes.filter((axis) => axis.size !== null);
  if (fixed.length > 0) line(1, `axes ${fixed.map((axis) => `${axis.name} = ${axis.size}`).join(", ")}`);
  line(1, `grid ${program.grid.map(index).join(", ") || "of one program"}`);
  const body = (ops: readonly Op[], depth: number): void => {
    for (const op of ops) {
      if (op.kind !== "loop") {
        line(depth, text(op), op.where);
        continue;
      }
      line(depth, loop(op), op.where);
      body(op.body, depth + 1);
      if (op.yields.length > 0) line(depth + 1, `yield ${op.yields.map(id).join(", ")}`);
      line(depth, op.results.length > 0 ? `} → ${op.results.map(typed).join(", ")}` : "}");
    }
  };
  body(program.body, 1);
  return lines.join("\n");
}

const id = (value: number): string => `%${value}`;
const operand = (o: Operand): string => (isConstant(o) ? number(constantOf(o)) : id(o));
const number = (x: number): string => (Object.is(x, -0) ? "-0" : String(x));
const axes = (v: Value): string =>
  v.axes.map((axis, i) => (v.spans[i] === null ? axis : `${axis}@${v.spans[i]}`)).join(" ");
const typed = (v: Value): string => `${id(v.id)}: ${v.dtype}[${axes(v)}]`;
const index = (i: Index): string =>
  `@${i.id} = ${i.step} of ${i.axis}${i.block !== null && i.block !== i.axis ? ` by ${i.block}` : ""}`;

function place(p: Position): string {
  switch (p.kind) {
    case "block":
    case "point":
      return `${p.along}: @${p.index}`;
    case "value":
      return `${p.along}: ${operand(p.value)}`;
    case "window": {
      const from = p.index === null ? p.axis : `@${p.index}`;
      const scaled = `${from}${p.stride === 1 ? "" : ` · ${p.stride}`} + ${operand(p.offset)}`;
      return `${p.along}: ${p.divide === 1 ? scaled : `(${scaled}) / ${p.divide}`}`;
    }
    default:
      return p satisfies never;
  }
}
const places = (at: readonly Position[]): string => `{${at.map(place).join(", ")}}`;

function loop(op: LoopOp): string {
  const { from, to, part } = op.range;
  const bounds = [
    from === null ? "" : ` from ${operand(from)}`,
    to === null ? "" : ` to ${operand(to)}`,
    part === null ? "" : ` share @${part}`,
  ].join("");
  const carry = op.args.map((arg, i) => `${id(arg.id)} = ${id(op.init[i]!)}`).join(", ");
  return `loop ${index(op.index)}${bounds}${carry ? ` carry ${carry}` : ""} {`;
}

function text(op: Exclude<Op, LoopOp>): string {
  const made = (what: string): string => `${typed(op as Value & typeof op)} = ${what}`;
  switch (op.kind) {
    case "load":
      return made(`load ${op.tensor} ${places(op.at)}`);
    case "store":
      return `store ${op.tensor} ${places(op.at)} ${op.reduce === null ? "" : `${op.reduce} `}${id(op.value)}`;
    case "full":
      return made(`full ${operand(op.value)}`);
    case "iota":
      return made(`iota ${op.index === null ? op.axis : `@${op.index}`}`);
    case "bound":
      return made(`${op.of} ${op.index === null ? op.axis : `@${op.index}`}`);
    case "unary":
      return made(`${op.fn} ${id(op.x)}`);
    case "binary":
    case "compare":
      return made(`${op.fn} ${id(op.x)}, ${operand(op.y)}`);
    case "where":
      return made(`where ${id(op.mask)}, ${operand(op.x)}, ${operand(op.y)}`);
    case "cast":
      return made(`cast ${id(op.x)}`);
    case "reduce":
      return made(`${op.fn} ${id(op.x)} over ${op.over.join(" ")}`);
    case "dot":
      return made(`dot ${id(op.a)}, ${id(op.b)} over ${op.over.join(" ")}${op.acc === null ? "" : ` + ${id(op.acc)}`}`);
    case "pick":
      return made(`pick ${id(op.x)} at ${op.axis} ${op.position}`);
    case "stack":
      return made(`stack ${op.parts.map(id).join(", ")} along ${op.axis}`);
    default:
      return op satisfies never;
  }
}
