// Recognises the convolution: zero, then loops over lines and columns of taps and, inside, `acc + a·b` over blocks of
// channels, where a tap moves the window on the picture by one; then pointwise ops, then one store; perhaps also mean and
// squared deviations of what is stored, over a block and the channels of a group, each with a store of its own.
import type {
  Index,
  IotaOp,
  LoopOp,
  Op,
  Operand,
  Position,
  StoreOp,
  TileProgram,
  ValueOp,
} from "../../tile/program.js";
import { constantOf, isConstant } from "../../tile/program.js";
import { paramOf } from "../../tile/query.js";
import { accumulated } from "./accumulated.js";
import { prefetchedLoad } from "./ahead.js";
import { cannot, isCannot, RUN_PIXELS, type Cannot, type ConvForm } from "./form.js";
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
  const inner = filters.filter((axis) => !b.at.some(({ along }) => along === axis));
  if (filters.length - inner.length !== 4 || inner.length > 1 || !isWhole(b.at, k, "block", channels.index) || !isWhole(b.at, n.axis, "block", n) || !taps.every((tap) => isWhole(b.at, tap.axis, "point", tap)))
    return cannot(`conv: ${b.tensor} is [${filters.join(" ")}], not filters with taps and channels`); // prettier-ignore

  const [store, ...stores] = program.body.filter((op): op is StoreOp => op.kind === "store");
  const axes = [outer.axis, down.index.axis, across.index.axis, n.axis, ...inner];
  const isPlain = store?.at.every((p) => p.kind === "block" || (p.kind === "point" && p.index === outer.id));
  if (!store || store.reduce !== null || !isPlain || paramOf(program, store.tensor).axes.toSorted().join() !== axes.toSorted().join())
    return cannot(`conv: there is no plain first store to [${axes.join(" ")}]`); // prettier-ignore
  const { dtype: stored } = paramOf(program, store.tensor);
  if (stored !== "bf16" && stored !== "f16") return cannot(`conv: the result is ${stored}`);
  const moments = stores.length > 0 ? momentsOf(program, store, stores, [outer, down.index, across.index, n], inner) : undefined; // prettier-ignore
  if (moments && isCannot(moments)) return moments;
  const epilogue = program.body.filter(
    (op): op is ValueOp => op !== zeros && op.kind !== "loop" && op.kind !== "store" && !moments?.ops.includes(op),
  );
  const form: ConvForm = {
    kind: "conv", program, a: a.tensor, b: b.tensor, dtype, n, inner, k, outer, moments: moments && { means: moments.means, squares: moments.squares },
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

interface FoundMoments {
  readonly means: string;
  readonly squares: string;
  /** What they are made by, which is no part of the epilogue. */
  readonly ops: readonly Op[];
}

/** Mean and squared deviations of the stored value, before it is rounded, over pixels and `inner`, stored at the block's line and run. */
function momentsOf(program: TileProgram, store: StoreOp, stores: readonly StoreOp[], [outer, y, x, n]: readonly [Index, Index, Index, Index], inner: readonly string[]): FoundMoments | Cannot {
  const made = new Map(program.body.flatMap((op) => (op.kind === "loop" || op.kind === "store" ? [] : [[op.id, op] as const]))); // prettier-ignore
  const [means, squares, ...more] = stores;
  const none = cannot("conv: beside the result, it stores something else than the moments of its runs");
  const over = [y.axis, x.axis, ...inner].toSorted().join();
  const ops: Op[] = [];
  const reduced = (op: StoreOp | undefined, fn: string) => {
    const last = op && made.get(op.value);
    if (last?.kind === "cast") ops.push(last);
    const reduce = last?.kind === "cast" ? made.get(last.x) : last;
    return reduce?.kind === "reduce" && reduce.fn === fn && reduce.over.toSorted().join() === over ? reduce : undefined;
  };
  const [mean, sum] = [reduced(means, "mean"), reduced(squares, "sum")];
  if (!means || !squares || more.length > 0 || inner.length !== 1 || !mean || !sum) return none;
  const square = made.get(sum.x);
  const apart = square?.kind === "unary" && square.fn === "square" ? made.get(square.x) : undefined;
  const stored = made.get(store.value);
  const isStored = mean.x === store.value || (stored?.kind === "cast" && stored.x === mean.x);
  const isApart = apart?.kind === "binary" && apart.fn === "sub" && apart.x === mean.x && apart.y === mean.id;
  if (!square || !apart || !isApart || !isStored || mean.dtype !== "f32" || sum.dtype !== "f32") return none;
  ops.push(mean, apart, square, sum);
  const startOf = (value: Operand, index: Index): boolean => {
    const op = isConstant(value) ? undefined : made.get(value);
    if (op?.kind !== "bound" || op.of !== "start" || op.index !== index.id) return false;
    ops.push(op);
    return true;
  };
  const runOf = (value: Operand): boolean => {
    const op = isConstant(value) ? undefined : made.get(value);
    if (op?.kind !== "binary" || op.fn !== "idiv" || !isConstant(op.y) || constantOf(op.y) !== RUN_PIXELS) return false;
    ops.push(op);
    return startOf(op.x, x);
  };
  const isPlaced = ({ tensor, at, reduce }: StoreOp): boolean => {
    const { axes, dtype } = paramOf(program, tensor);
    const [picture, line, run, group] = axes.map((axis) => at.find(({ along }) => along === axis));
    return (
      axes.length === 4 && reduce === null && dtype === "f32" &&
      picture?.kind === "point" && picture.index === outer.id && group?.kind === "block" && group.index === n.id &&
      line?.kind === "value" && startOf(line.value, y) && run?.kind === "value" && runOf(run.value)
    );
  };
  return isPlaced(means) && isPlaced(squares) ? { means: means.tensor, squares: squares.tensor, ops } : none;
} // prettier-ignore

/** Why a thread of the fragment cannot do what follows the loops, or undefined: it knows its column, not where its pixel is. */
function epilogueReason(form: ConvForm): string | undefined {
  const { program, epilogue, y, x, n, inner } = form;
  const ahead = prefetchedLoad(form);
  for (const op of epilogue) {
    const ofPixels = [y.axis, x.axis].some((axis) => op.axes.includes(axis));
    if (ofPixels && op.kind === "load" && op !== ahead)
      return `${op.tensor} is read beside a tensor over the whole tile`;
    if (op.kind === "iota" && (ofPixels || inner.length > 0)) return `positions along ${op.axis}`;
    const reason = pointwiseReason(program, op, [y.axis, x.axis, n.axis, ...inner]);
    if (reason !== undefined) return reason;
  }
  return undefined;
}
