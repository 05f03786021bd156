// Verify on programs broken by hand: each rule is broken once and named.
import assert from "node:assert/strict";
import { test } from "node:test";
import { trace, verify, type LoopOp, type Op, type TileProgram } from "./index.js";
import { attention } from "./suite/attention.js";
import { conv } from "./suite/conv.js";
import { matmul } from "./suite/matmul.js";

type Mutable<T> = { -readonly [K in keyof T]: Mutable<T[K]> };
type Draft = Mutable<TileProgram>;
const copy = (program: TileProgram): Draft => JSON.parse(JSON.stringify(program)) as Draft;
const loopOf = (program: Draft): Mutable<LoopOp> => program.body.find((op) => op.kind === "loop") as Mutable<LoopOp>;
const opOf = <K extends Op["kind"]>(ops: readonly Mutable<Op>[], kind: K): Mutable<Extract<Op, { kind: K }>> =>
  ops.find((op) => op.kind === kind) as Mutable<Extract<Op, { kind: K }>>;

const products = trace(matmul("bf16"));
const breaks = (what: string, program: TileProgram, change: (draft: Draft) => void, message: RegExp): void => {
  test(`verify names ${what}`, () => {
    verify(program);
    const draft = copy(program);
    change(draft);
    assert.throws(() => verify(draft as TileProgram), message);
  });
};

breaks(
  "a value used before it is made",
  products,
  (p) => void p.body.reverse(),
  /value %6 is not defined here \(at matmul\.js:\d+\)/,
);
breaks(
  "a value used outside of its loop",
  products,
  (p) => void (opOf(p.body, "cast").x = 4),
  /value %4 is not defined here/,
);
breaks("a value made twice", products, (p) => void (opOf(p.body, "cast").id = 0), /value %0 is defined twice/);
breaks(
  "an unknown index",
  products,
  (p) => void (opOf(loopOf(p).body, "load").at[0] = { kind: "block", along: "M", index: 9 }),
  /index @9 is not open here/,
);
breaks(
  "an index of another axis",
  products,
  (p) => void (opOf(loopOf(p).body, "load").at[0] = { kind: "block", along: "M", index: 1 }),
  /a place along N cannot stand along M/,
);
breaks(
  "a point used as a block",
  products,
  (p) => {
    p.grid[0]!.step = "point";
    p.grid[0]!.block = null;
  },
  /index of M is a point, used as a block/,
);
breaks(
  "a wrong dtype",
  products,
  (p) => void (opOf(loopOf(p).body, "load").dtype = "f32"),
  /%2 says f32\[M K\], its op makes bf16\[M K\]/,
);
breaks("a wrong span", products, (p) => void (opOf(loopOf(p).body, "load").spans = [null, 2]), /%2 says/);
breaks("operands of two dtypes", products, (p) => void (p.params[1]!.dtype = "f16"), /%3 says bf16/);
breaks(
  "a dot over an axis that one side lacks",
  products,
  (p) => void (opOf(loopOf(p).body, "dot").over = ["N"]),
  /\[M K\] has no axis N/,
);
breaks(
  "an accumulator of another dtype",
  products,
  (p) => void (opOf(p.body, "full").dtype = "f16"),
  /argument 0 is f32\[M N\], wanted f16\[M N\]/,
);
breaks("an op that does not exist", products, (p) => void (p.body[0]!.kind = "block" as never), /there is no op block/);
breaks(
  "a function that does not exist",
  trace(attention("f32", { scale: 1 })),
  (p) => void (opOf(loopOf(p).body, "unary").fn = "gamma" as never),
  /unary has no such function/,
);
breaks("a dtype that does not exist", products, (p) => void (p.params[0]!.dtype = "f4" as never), /a has dtype f4/);
breaks("a missing yield", products, (p) => void (loopOf(p).yields = []), /differ in number/);
breaks("a yield of other axes", products, (p) => void (loopOf(p).yields = [2]), /yielded value 0 is bf16\[M K\]/);
breaks("a store to an input", products, (p) => void (opOf(p.body, "store").tensor = "a"), /a is an input/);
breaks("a load of an output", products, (p) => void (opOf(loopOf(p).body, "load").tensor = "c"), /c is an output/);
breaks(
  "a stored value of the wrong dtype",
  products,
  (p) => void (opOf(p.body, "store").value = 5),
  /the stored value is f32/,
);
breaks("an unknown tensor", products, (p) => void (opOf(p.body, "store").tensor = "d"), /there is no parameter d/);
breaks(
  "an axis that is not declared",
  products,
  (p) => void (p.axes = p.axes.filter((axis) => axis.name !== "K")),
  /there is no axis K/,
);
breaks(
  "a parameter declared twice",
  products,
  (p) => void p.params.push(p.params[0]!),
  /parameter a is declared twice/,
);
breaks("an output left alone", products, (p) => void p.body.pop(), /nothing is stored to output c/);
breaks("a share without a point", products, (p) => void (loopOf(p).range.part = 0), /a share needs a point/);
breaks(
  "a bound that is a tile",
  trace(attention("f32", { scale: 1, causal: true })),
  (p) => void (loopOf(p).range.to = 1),
  /f32|one number/,
);
breaks("a block key missing", products, (p) => void (p.grid[0]!.block = null), /blocks have a key/);
const window = (p: Draft): Mutable<Op>[] =>
  (loopOf(p).body as Mutable<Op>[]).flatMap((op) =>
    op.kind === "loop" ? op.body.flatMap((o) => (o.kind === "loop" ? o.body : [])) : [],
  );
breaks("a window with a stride of 0", trace(conv("f32", {})), (p) => {
  const place = opOf(window(p), "load").at.find((at) => at.kind === "window")!;
  if (place.kind === "window") place.stride = 0;
}, /stride must be a positive integer/); // prettier-ignore
