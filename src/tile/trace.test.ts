// What tracing refuses: the traps of running a text as a program, each with its line and what to do.
import assert from "node:assert/strict";
import { test } from "node:test";
import { TroupeError } from "../core/error.js";
import { allOps, axis, inout, input, kernel, output, trace, type AnyKernel, type Tile } from "./index.js";

const io = { x: input("f32", "M", "K"), y: output("f32", "M", "K"), r: output("f32", "M") };
const refuses = (what: string, make: () => AnyKernel, message: RegExp): void => {
  test(what, () => {
    assert.throws(
      () => trace(make()),
      (error) => error instanceof TroupeError && error.code === "trace" && message.test(error.message),
    );
  });
};

refuses("a variable reassigned in a loop and used after it is named with both lines", () =>
  kernel("k", io, (t, { x, y }) => {
    const m = t.program("M");
    let s: Tile<"f32", "M" | "K"> = t.load(x, m);
    t.forEach("K", (k) => {
      s = t.load(x, m, k);
    });
    t.store(y, [m], s);
  }), /kernel k: the value made at trace\.test\.js:\d+ was used after the loop that made it ended \(at trace\.test\.js:\d+\)/); // prettier-ignore

refuses("a variable reassigned in a loop and used only in it is caught by the second run", () =>
  kernel("k", io, (t, { x, y }) => {
    const m = t.program("M");
    let s: Tile<"f32", "M"> = t.zeros("f32", "M");
    t.forEach("K", (k) => {
      s = s.add(t.load(x, m, k).sum("K"));
      t.store(y, [m, k], t.load(x, m, k).mul(s));
    });
  }), /was used after the loop that made it ended/); // prettier-ignore

refuses("a flag turned in a loop's body asks for different ops the second time", () => {
  let first = true;
  return kernel("k", io, (t, { x, y }) => {
    const m = t.program("M");
    t.forEach("K", (k) => {
      const v = t.load(x, m, k);
      t.store(y, [m, k], first ? v.neg() : v);
      first = false;
    });
  });
}, /run twice and asked for different ops: unary at trace\.test\.js:\d+, then store at/); // prettier-ignore

refuses("a random number in a loop's body is found", () =>
  kernel("k", io, (t, { x, y }) => {
    const m = t.program("M");
    t.forEach("K", (k) => t.store(y, [m, k], t.load(x, m, k).add(Math.random())));
  }), /run twice and asked for different ops: binary/); // prettier-ignore

refuses("a tile in arithmetic has no value", () =>
  kernel("k", io, (t, { x, y }) => t.store(y, [t.program("M")], t.load(x).mul(Number(t.load(x) as unknown) + 1) as never)),
  /has no JavaScript value/); // prettier-ignore

refuses("a tile of another trace is refused", () => {
  let kept: Tile<"f32", "M" | "K"> | undefined;
  return kernel("k", io, (t, { x, y }) => {
    const m = t.program("M");
    if (!kept) {
      kept = t.load(x, m);
      trace(kernel("inner", io, (u, p) => u.store(p.y, [u.program("M")], kept!.add(1))));
    }
    t.store(y, [m], kept);
  });
}, /kernel inner: the value made at .* was used after/); // prettier-ignore

refuses("a block used after its loop is refused", () =>
  kernel("k", io, (t, { x, y }) => {
    const m = t.program("M");
    let kept: unknown;
    t.forEach("K", (k) => void (kept = k));
    t.store(y, [m], t.load(x, m, kept as never) as never);
  }), /a place along K was used after its loop ended/); // prettier-ignore

refuses("a whole axis and a block of it do not meet", () =>
  kernel("k", io, (t, { x, y }) => {
    const m = t.program("M");
    const whole = t.load(x, m);
    t.forEach("K", (k) => t.store(y, [m, k], t.load(x, m, k).add(whole)));
  }), /add: one side has a block of K, the other the whole/); // prettier-ignore

refuses("a carry over the loop's own block is refused", () =>
  kernel("k", io, (t, { x, y }) => {
    const m = t.program("M");
    t.store(y, [m], t.loop("K", t.load(x, m), (k) => t.load(x, m, k)));
  }), /a carried value at the end of the body lies over another block of K/); // prettier-ignore

refuses("a body that returns other names than it was given is refused", () =>
  kernel("k", io, (t, { r }) => {
    const m = t.program("M");
    const end = t.loop("K", { a: t.zeros("f32", "M") }, (_, { a }) => ({ a, b: a }));
    t.store(r, [m], end.a);
  }), /returned \{ a, b \} and was given \{ a \}/); // prettier-ignore

refuses("the grid is not spread inside a loop", () =>
  kernel("k", io, (t, { x, y }) => t.forEach("K", (k) => t.store(y, [t.program("M"), k], t.load(x) as never))),
  /the grid is spread outside of loops/); // prettier-ignore

refuses("an output that nothing is stored to is refused", () =>
  kernel("k", io, (t, { x, y }) => {
    const m = t.program("M");
    t.store(y, [m], t.load(x, m));
  }), /nothing is stored to output r/); // prettier-ignore

refuses("an axis spread twice over the grid is refused", () =>
  kernel("k", { x: input("f32", "M"), y: output("f32", "M") }, (t, { x, y }) => {
    t.each("M");
    const m = t.program("M");
    t.store(y, [m], t.load(x, m));
  }), /axis M is spread over the grid twice/); // prettier-ignore

refuses("integers divide by idiv", () =>
  kernel("k", { x: input("i32", "M"), y: inout("i32", "M") }, (t, { x, y }) => t.store(y, [], t.load(x).div(2))),
  /div does not take i32; integers divide by idiv/); // prettier-ignore

refuses("half a number is no i32", () =>
  kernel("k", { x: input("i32", "M"), y: inout("i32", "M") }, (t, { x, y }) => t.store(y, [], t.load(x).mul(0.5))),
  /mul: 0.5 is no i32/); // prettier-ignore

refuses("a number beyond 32 bits is no i32", () =>
  kernel("k", { x: input("i32", "M"), y: inout("i32", "M") }, (t, { x, y }) => t.store(y, [], t.load(x).add(2 ** 31))),
  /add: 2147483648 is no i32/); // prettier-ignore

refuses("NaN is no constant", () =>
  kernel("k", { x: input("f32", "M"), y: inout("f32", "M") }, (t, { x, y }) => t.store(y, [], t.load(x).mul(Number.NaN))),
  /NaN is no constant/); // prettier-ignore

refuses("a pick needs a fixed size", () =>
  kernel("k", { x: input("f32", "M", "R"), y: inout("f32", "M") }, (t, { x, y }) => t.store(y, [], t.load(x).at("R", 0))),
  /R has no fixed size/); // prettier-ignore

refuses("a stack has the size its axis declares", () =>
  kernel("k", { x: input("f32", "M"), r: axis("R", 3), y: output("f32", "M", "R") }, (t, { x, y }) =>
    t.store(y, [], t.stack("R", [t.load(x), t.load(x)]))), /2 tiles make an axis R of that size/); // prettier-ignore

refuses("two places along one axis of a tensor are refused", () =>
  kernel("k", { x: input("f32", "M", "K"), y: inout("f32", "M", "K") }, (t, { x, y }) => {
    const m = t.program("M");
    t.store(y, [m], t.load(x, m, t.window("M", m)));
  }), /two places along one axis of x/); // prettier-ignore

test("a parameter that names an axis twice is refused when the kernel is made", () => {
  assert.throws(() => kernel("k", { x: input("f32", "T", "T") }, () => {}), /parameter x names an axis twice: \[T T\]/);
});

test("the body of a loop runs twice, nested ones four times, and leaves one trace", () => {
  let runs = 0;
  const nested = kernel("nested", { x: input("f32", "A", "B", "C"), y: output("f32", "A") }, (t, { x, y }) => {
    const a = t.program("A");
    const total = t.loop("B", t.zeros("f32", "A"), (b, outer) =>
      t.loop("C", outer, (c, inner) => {
        runs++;
        return inner.add(t.load(x, a, b, c).sum("B", "C"));
      }),
    );
    t.store(y, [a], total);
  });
  const program = trace(nested);
  assert.equal(runs, 4);
  assert.equal([...allOps(program.body)].filter((op) => op.kind === "load").length, 1);
});

test("a program is frozen all through", () => {
  const program = trace(
    kernel("k", { x: input("f32", "M"), y: output("f32", "M") }, (t, { x, y }) => t.store(y, [], t.load(x))),
  );
  assert.ok(
    Object.isFrozen(program) &&
      program.body.every((op) => Object.isFrozen(op)) &&
      Object.isFrozen(program.params[0]!.axes),
  );
});
