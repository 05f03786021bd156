// Recognises the matmul loop: zero, then `acc + a·b` over blocks of one axis, then pointwise ops, then one store.
import type { Index, LoadOp, LoopOp, TileProgram, ValueOp } from "../../tile/program.js";
import { indicesOf, paramOf } from "../../tile/query.js";
import { accumulated } from "./accumulated.js";
import { cannot, type Cannot, type MatmulForm } from "./form.js";
import { pointwiseReason } from "./supported.js";

export function matchMatmul(program: TileProgram): MatmulForm | Cannot {
  const loops = program.body.filter((op): op is LoopOp => op.kind === "loop");
  const stores = program.body.filter((op) => op.kind === "store");
  const [loop] = loops;
  const [store] = stores;
  if (!loop || loops.length !== 1) return cannot(`matmul: ${loops.length} loops instead of one`);
  if (!store || stores.length !== 1) return cannot(`matmul: ${stores.length} stores instead of one`);
  if (loop.range.from !== null || loop.range.to !== null || loop.range.part !== null || loop.index.step !== "block")
    return cannot("matmul: the loop does not visit the whole axis block by block");
  if (loop.args.length !== 1) return cannot(`matmul: the loop carries ${loop.args.length} values`);

  const product = accumulated(program, loop, loop.init[0]!);
  if ("cannot" in product) return cannot(`matmul: ${product.cannot}`);
  const { a, b, dtype, zeros } = product;

  const [outer, ...more] = program.grid.filter((index) => index.step === "point");
  const m = rowIndex(program, a, loop, outer);
  if ("cannot" in m) return m;
  const inner = paramOf(program, b.tensor).axes.slice(1, -1);
  const n = rowIndex(program, b, loop, undefined, inner);
  if ("cannot" in n) return n;
  if (more.length > 0 || program.grid.length !== (outer ? 3 : 2))
    return cannot(`matmul: the grid has ${program.grid.length} axes instead of two and at most one point`);

  const oddInner = innerReason(program, inner);
  if (oddInner !== undefined) return cannot(`matmul: ${oddInner}`);
  const axes = [m.axis, n.axis, ...inner];
  const epilogue = program.body.filter(
    (op): op is ValueOp => op !== loop && op !== store && op !== zeros && op.kind !== "loop" && op.kind !== "store",
  );
  for (const op of epilogue) {
    const reason = rowReason(op, inner) ?? pointwiseReason(program, op, axes);
    if (reason !== undefined) return cannot(`matmul: after the loop, ${reason}`);
  }
  const out = paramOf(program, store.tensor);
  const wanted = outer ? [outer.axis, ...axes] : axes;
  const order = (names: readonly string[]): string => (inner.length > 0 ? names.slice(0, -inner.length).toSorted() : names).concat(inner).join(); // prettier-ignore
  const isPlain = store.at.every((p) => p.kind === "block" || (p.kind === "point" && p.index === outer?.id));
  if (order(out.axes) !== order(wanted) || store.reduce !== null || !isPlain)
    return cannot(`matmul: the store is not a plain one to [${wanted.join(" ")}]`);
  if (out.dtype !== "bf16" && out.dtype !== "f16" && out.dtype !== "f32")
    return cannot(`matmul: the result is ${out.dtype}`);
  return {
    kind: "matmul", program, a: a.tensor, b: b.tensor, dtype, m, n, inner, k: loop.index.axis, outer,
    accumulator: loop.results[0]!.id, epilogue, store,
  }; // prettier-ignore
}

/** The grid block that gives an operand's rows; its last axis must be the contracted one, its first of three the point. */
function rowIndex(
  program: TileProgram,
  load: LoadOp,
  loop: LoopOp,
  outer: Index | undefined,
  inner: readonly string[] = [],
): MatmulForm["m"] | Cannot {
  const { axes: all } = paramOf(program, load.tensor);
  const own = all.filter((axis) => !inner.includes(axis));
  const axes = outer && own[0] === outer.axis ? own.slice(1) : own;
  if (axes.length !== 2 || axes[1] !== loop.index.axis || (outer && axes === own))
    return cannot(
      `matmul: ${load.tensor} is [${all.join(" ")}]; the contracted axis ${loop.index.axis} must be its last of two`,
    );
  const cut = load.at.find(({ along }) => inner.includes(along));
  if (cut) return cannot(`matmul: ${load.tensor} is not read whole along ${cut.along}`);
  const at = load.at.find((position) => position.along === axes[0]);
  const step = load.at.find((position) => position.along === axes[1]);
  const index = at?.kind === "block" ? indicesOf(program).get(at.index) : undefined;
  if (!index || !program.grid.includes(index))
    return cannot(`matmul: ${load.tensor}'s rows are not a block of the grid`);
  if (step?.kind !== "block" || step.index !== loop.index.id)
    return cannot(`matmul: ${load.tensor} is not read at the loop's block`);
  return index;
}

/** Why axes inside a position of n are none that a thread of the fragment can tell apart, or undefined. */
function innerReason(program: TileProgram, inner: readonly string[]): string | undefined {
  if (inner.length < 2) return undefined;
  const last = inner.at(-1)!;
  const isPair = inner.length === 2 && program.axes.some(({ name, size }) => name === last && size === 2);
  return isPair ? undefined : `[${inner.join(" ")}] are neither the elements of a head nor pairs and the two of each`;
}

/** Why an op over the inner axes is none that stays inside a row of a warp, or undefined. */
function rowReason(op: ValueOp, inner: readonly string[]): string | undefined {
  if (inner.length === 0) return undefined;
  if (op.kind === "reduce" && op.fn.startsWith("arg")) return `${op.fn} of a row`;
  if (op.kind === "reduce" && op.over.toSorted().join() !== inner.toSorted().join()) return `a sum over ${op.over.join()} of [${inner.join(" ")}]`; // prettier-ignore
  if ((op.kind === "pick" || op.kind === "stack") && (inner.length < 2 || op.axis !== inner.at(-1))) return `a ${op.kind} along ${op.axis}`; // prettier-ignore
  if (op.kind === "iota" && inner.includes(op.axis)) return `positions along ${op.axis}`;
  return undefined;
}
