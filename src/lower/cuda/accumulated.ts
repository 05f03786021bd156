// The innermost loop of a product: `acc + a·b` over blocks of one axis, from two plain loads and nothing else.
import type { DotOp, FullOp, LoadOp, LoopOp, Op, TileProgram, ValueId, ValueOp } from "../../tile/program.js";
import { isConstant } from "../../tile/program.js";
import { cannot, type Cannot } from "./form.js";

/** The operands' loads, whose 16-bit dtype wgmma takes. */
export interface Accumulated {
  readonly a: LoadOp;
  readonly b: LoadOp;
  readonly dtype: "bf16" | "f16";
  /** What the accumulator starts as. */
  readonly zeros: FullOp;
}

/** @param start what the accumulator is before the first loop */
export function accumulated(program: TileProgram, loop: LoopOp, start: ValueId): Accumulated | Cannot {
  const product = sumOf(loop);
  if ("cannot" in product) return product;
  const { dot, add } = product;
  const loads = new Map(loop.body.filter((op): op is LoadOp => op.kind === "load").map((op) => [op.id, op]));
  const [a, b] = [loads.get(dot.a), loads.get(dot.b)];
  if (!a || !b) return cannot("an operand of the dot is not a plain load");
  const extra = loop.body.find((op) => op !== a && op !== b && op !== dot && op !== add);
  if (extra) return cannot(`the loop has a ${extra.kind} beside its dot`);
  if ((a.dtype !== "bf16" && a.dtype !== "f16") || a.dtype !== b.dtype)
    return cannot(`operands of ${a.dtype} and ${b.dtype}`);
  if (dot.over.length !== 1 || dot.over[0] !== loop.index.axis)
    return cannot("the dot contracts another axis than the loop's");
  const init = program.body.find((op) => op.kind === "full" && op.id === start);
  if (init?.kind !== "full" || init.value.const !== 0) return cannot("the accumulator does not start as zeros");
  return { a, b, dtype: a.dtype, zeros: init };
}

/** The dot whose result, with the carry added, the loop yields. */
function sumOf(loop: LoopOp): { readonly dot: DotOp; readonly add: Op | undefined } | Cannot {
  const carry = loop.args[0]!.id;
  const made = (id: ValueId): ValueOp | undefined =>
    loop.body.find((op): op is ValueOp => op.kind !== "loop" && op.kind !== "store" && op.id === id);
  const last = made(loop.yields[0]!);
  if (last?.kind === "dot" && last.acc === carry) return { dot: last, add: undefined };
  if (last?.kind === "binary" && last.fn === "add" && !isConstant(last.y)) {
    const other = last.x === carry ? last.y : last.y === carry ? last.x : undefined;
    const dot = other === undefined ? undefined : made(other);
    if (dot?.kind === "dot" && dot.acc === null) return { dot, add: last };
  }
  return cannot("the loop does not yield its carry plus one dot");
}
