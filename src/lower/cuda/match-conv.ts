// Recognises the convolution: zero, then loops over lines and columns of taps and, inside, `acc + a·b` over blocks of
// channels, where a tap moves the window on the picture by one; then pointwise ops, then one store.
import type { Index, IotaOp, LoopOp, Op, Position, StoreOp, TileProgram, ValueOp } from "../../tile/program.js";
import { constantOf, isConstant } from "../../tile/program.js";
import { paramOf } from "../../tile/query.js";
import { accumulated } from "./accumulated.js";
import { prefetchedLoad } from "./ahead.js";
import { cannot, isCannot, type Cannot, type ConvForm } from "./form.js";
import { pointwiseReason } from "./supported.js";

export function matchConv(program: TileProgram): ConvForm | Cannot {
  const nest = nestOf(program.body);
  if (isCannot(nest)) return nest;
  const [lines, columns, channels] = nest;
  const product = accumulated(program, channels, lines.init[0]!);
  if (isCannot(product)) return cannot(`conv: ${product.cannot}`);
  const { a, b, dtype, zeros } = product;

  const [outer, ...more] = program.grid.filter(({ step }) => step === "point");
  const blocks = program.grid.filter(({ step }) => step === "block");
  if (!outer || more.length > 0 || blocks.length !== 3)
    return cannot("conv: the grid is not a picture of the batch, lines, columns and filters");
  const down = windowOf(a.at, blocks, lines);
  const across = windowOf(a.at, blocks, columns);
  if (!down || !across || down.index === across.index)
    return cannot(`conv: ${a.tensor} is not read through windows that a tap moves by one`);
  const n = blocks.find((index) => index !== down.index && index !== across.index)!;
  const isWhole = (at: readonly Position[], along: string, kind: "block" | "point", index: Index): boolean =>
    at.some((p) => p.along === along && p.kind === kind && p.index === index.id);
  const k = channels.index.axis;
  const picture = paramOf(program, a.tensor).axes;
  if (picture.length !== 4 || !isWhole(a.at, k, "block", channels.index) || !isWhole(a.at, outer.axis, "point", outer))
    return cannot(`conv: ${a.tensor} is [${picture.join(" ")}], not pictures with ${k} channels`);
  const filters = paramOf(program, b.tensor).axes;
  const taps = [lines.index, columns.index] as const;
  if (filters.length !== 4 || !isWhole(b.at, k, "block", channels.index) || !isWhole(b.at, n.axis, "block", n) || !taps.every((tap) => isWhole(b.at, tap.axis, "point", tap)))
    return cannot(`conv: ${b.tensor} is [${filters.join(" ")}], not filters with taps and channels`); // prettier-ignore

  const [store, ...stores] = program.body.filter((op): op is StoreOp => op.kind === "store");
  const axes = [outer.axis, down.index.axis, across.index.axis, n.axis];
  const isPlain = store?.at.every((p) => p.kind === "block" || (p.kind === "point" && p.index === outer.id));
  if (!store || stores.length > 0 || store.reduce !== null || !isPlain || paramOf(program, store.tensor).axes.toSorted().join() !== axes.toSorted().join())
    return cannot(`conv: there is no one plain store to [${axes.join(" ")}]`); // prettier-ignore
  const { dtype: stored } = paramOf(program, store.tensor);
  if (stored !== "bf16" && stored !== "f16") return cannot(`conv: the result is ${stored}`);
  const epilogue = program.body.filter(
    (op): op is ValueOp => op !== zeros && op.kind !== "loop" && op.kind !== "store",
  );
  const form: ConvForm = {
    kind: "conv", program, a: a.tensor, b: b.tensor, dtype, n, inner: [], k, outer,
    y: down.index, x: across.index, image: { y: down.along, x: across.along, from: [down.from, across.from] },
    taps: [lines.index.axis, columns.index.axis], accumulator: lines.results[0]!.id, epilogue, store,
  }; // prettier-ignore
  const reason = epilogueReason(form);
  return reason === undefined ? form : cannot(`conv: after the loops, ${reason}`);
}

/** The three loops, outermost first, each with one carry that the next goes on with. */
function nestOf(body: readonly Op[]): readonly [LoopOp, LoopOp, LoopOp] | Cannot {
  const found: LoopOp[] = [];
  for (let ops = body; ; ops = found.at(-1)!.body) {
    const [loop, ...others] = ops.filter((op): op is LoopOp => op.kind === "loop");
    if (!loop) break;
    const { from, to, part } = loop.range;
    if (others.length > 0 || loop.args.length !== 1 || from !== null || to !== null || part !== null)
      return cannot("conv: a loop does not visit a whole axis with one carry, alone");
    const outer = found.at(-1);
    const isPassedOn = !outer || (loop.init[0] === outer.args[0]!.id && outer.yields[0] === loop.results[0]!.id);
    const isAlone = !outer || ops.every((op) => op === loop || ((op.kind === "iota" || op.kind === "binary") && op.axes.length === 0)); // prettier-ignore
    if (!isPassedOn || !isAlone) return cannot("conv: loops over taps do more than to pass on what they carry");
    found.push(loop);
  }
  const [lines, columns, channels] = found;
  const isNest = found.length === 3 && found.map(({ index }) => index.step).join() === "point,point,block";
  return isNest ? [lines!, columns!, channels!] : cannot(`conv: ${found.length} loops, not over lines and columns of taps and blocks of channels`); // prettier-ignore
}

interface Window {
  readonly along: string;
  /** The block of the grid that the window is of. */
  readonly index: Index;
  /** Where it stands at the first tap, from the block's own position. */
  readonly from: number;
}

/** The window that moves by one with a loop over taps. */
function windowOf(at: readonly Position[], blocks: readonly Index[], taps: LoopOp): Window | undefined {
  const positions = taps.body.find((op): op is IotaOp => op.kind === "iota" && op.index === taps.index.id);
  for (const p of at) {
    if (p.kind !== "window" || p.stride !== 1 || p.divide !== 1 || isConstant(p.offset) || !positions) continue;
    const index = blocks.find(({ id }) => id === p.index);
    const op = taps.body.find((own) => own.kind === "binary" && own.id === p.offset);
    const isMoved = op?.kind === "binary" && op.x === positions.id && isConstant(op.y) && (op.fn === "add" || op.fn === "sub"); // prettier-ignore
    if (!index || (p.offset !== positions.id && !isMoved)) continue;
    const by = isMoved && isConstant(op.y) ? constantOf(op.y) : 0;
    return { along: p.along, index, from: isMoved && op.fn === "sub" ? 0 - by : by };
  }
  return undefined;
}

/** Why a thread of the fragment cannot do what follows the loops, or undefined: it knows its column, not where its pixel is. */
function epilogueReason(form: ConvForm): string | undefined {
  const { program, epilogue, y, x, n } = form;
  const ahead = prefetchedLoad(form);
  for (const op of epilogue) {
    const ofPixels = [y.axis, x.axis].some((axis) => op.axes.includes(axis));
    if (ofPixels && op.kind === "load" && op !== ahead)
      return `${op.tensor} is read beside a tensor over the whole tile`;
    if (ofPixels && op.kind === "iota") return `positions along ${op.axis}`;
    const reason = pointwiseReason(program, op, [y.axis, x.axis, n.axis]);
    if (reason !== undefined) return reason;
  }
  return undefined;
}
