// Golden text of programs that use every kind of place, range and op: a change here changes what lowerings see.
import assert from "node:assert/strict";
import { test } from "node:test";
import { axis, inout, input, kernel, output, print, trace } from "./index.js";
import { conv } from "./suite/conv.js";
import { pagedAppend } from "./suite/paged.js";
import { qkNormRope } from "./suite/rope.js";
import { splitKAdd } from "./suite/split-k.js";

const golden = (name: string, program: Parameters<typeof print>[0], text: string): void => {
  test(`${name} prints as it always has`, () => {
    assert.equal(print(program), text.replace(/^\n/, "").replace(/\n *$/, ""));
  });
};

golden("split-K with a reducing store", trace(splitKAdd("bf16")), `
kernel split_k_add(in a: bf16[M K], in b: bf16[N K], inout c: f32[M N])
  grid @0 = block of M, @1 = block of N, @2 = point of S
  %0: f32[M@0 N@1] = full 0
  loop @3 = block of K share @2 carry %1 = %0 {
    %2: bf16[M@0 K@3] = load a {M: @0, K: @3}
    %3: bf16[N@1 K@3] = load b {N: @1, K: @3}
    %4: f32[M@0 N@1] = dot %2, %3 over K + %1
    yield %4
  } → %5: f32[M@0 N@1]
  store c {M: @0, N: @1} add %5
`); // prettier-ignore
golden("a strided convolution", trace(conv("f16", { stride: 2, padding: 1, bias: true })), `
kernel conv(in x: f16[B H W C], in w: f16[O KY KX C], in bias: f16[O], out y: f16[B OY OX O])
  grid @0 = point of B, @1 = block of OY, @2 = block of OX, @3 = block of O
  %0: f32[OY@1 OX@2 O@3] = full 0
  loop @4 = point of KY carry %1 = %0 {
    %2: i32[] = iota @4
    %3: i32[] = sub %2, 1
    loop @5 = point of KX carry %4 = %1 {
      %5: i32[] = iota @5
      %6: i32[] = sub %5, 1
      loop @6 = block of C carry %7 = %4 {
        %8: f16[OY@1 OX@2 C@6] = load x {B: @0, H: @1 · 2 + %3, W: @2 · 2 + %6, C: @6}
        %9: f16[O@3 C@6] = load w {O: @3, KY: @4, KX: @5, C: @6}
        %10: f32[OY@1 OX@2 O@3] = dot %8, %9 over C + %7
        yield %10
      } → %11: f32[OY@1 OX@2 O@3]
      yield %11
    } → %12: f32[OY@1 OX@2 O@3]
    yield %12
  } → %13: f32[OY@1 OX@2 O@3]
  %14: f16[O@3] = load bias {O: @3}
  %15: f32[O@3] = cast %14
  %16: f32[OY@1 OX@2 O@3] = add %13, %15
  %17: f16[OY@1 OX@2 O@3] = cast %16
  store y {B: @0, OY: @1, OX: @2, O: @3} %17
`); // prettier-ignore
golden("an append to pages", trace(pagedAppend("bf16")), `
kernel paged_append(in slot: i32[T], in x: bf16[T KV D], inout cache: bf16[Page Slot KV D])
  grid @0 = block of T
  %0: i32[T@0] = load slot {T: @0}
  %1: i32[] = size Slot
  %2: i32[T@0] = idiv %0, %1
  %3: i32[] = size Slot
  %4: i32[T@0] = mod %0, %3
  %5: bf16[T@0 KV D] = load x {T: @0}
  store cache {Page: %2, Slot: %4} %5
`); // prettier-ignore
golden("norm and rotary embedding after a product", trace(qkNormRope("bf16")), `
kernel qk_norm_rope(in a: bf16[M K], in b: bf16[H P R K], in w: bf16[P R], in cos: f32[M P], in sin: f32[M P], out c: bf16[H M P R])
  axes R = 2
  grid @0 = block of M, @1 = block of H
  %0: f32[M@0 H@1 P R] = full 0
  loop @2 = block of K carry %1 = %0 {
    %2: bf16[M@0 K@2] = load a {M: @0, K: @2}
    %3: bf16[H@1 P R K@2] = load b {H: @1, K: @2}
    %4: f32[M@0 H@1 P R] = dot %2, %3 over K + %1
    yield %4
  } → %5: f32[M@0 H@1 P R]
  %6: f32[M@0 H@1 P R] = square %5
  %7: f32[M@0 H@1] = mean %6 over P R
  %8: f32[M@0 H@1] = add %7, 0.000001
  %9: f32[M@0 H@1] = rsqrt %8
  %10: f32[M@0 H@1 P R] = mul %5, %9
  %11: bf16[P R] = load w {}
  %12: f32[P R] = cast %11
  %13: f32[M@0 H@1 P R] = mul %10, %12
  %14: f32[M@0 H@1 P] = pick %13 at R 0
  %15: f32[M@0 H@1 P] = pick %13 at R 1
  %16: f32[M@0 P] = load cos {M: @0}
  %17: f32[M@0 P] = load sin {M: @0}
  %18: f32[M@0 H@1 P] = mul %14, %16
  %19: f32[M@0 H@1 P] = mul %15, %17
  %20: f32[M@0 H@1 P] = sub %18, %19
  %21: f32[M@0 H@1 P] = mul %15, %16
  %22: f32[M@0 H@1 P] = mul %14, %17
  %23: f32[M@0 H@1 P] = add %21, %22
  %24: f32[M@0 H@1 P R] = stack %20, %23 along R
  %25: bf16[M@0 H@1 P R] = cast %24
  store c {H: @1, M: @0} %25
`); // prettier-ignore

const everything = kernel(
  "everything",
  { x: input("i32", "N"), s: axis("S"), r: axis("R", 2), n: input("i32"), y: inout("f32", "N"), z: output("f32", "R", "N") },
  (t, { x, n, y, z }) => {
    const part = t.each("S");
    const limit = t.load(n).idiv(2).and(7);
    t.forEach("N", (at) => {
      const v = t.load(x, at).to("f32");
      const near = t.where(t.iota(at).ge(t.start(at)).and(t.iota(at).lt(t.end(at)).not()), -0, Infinity);
      t.store(y, [at], v.maximum(near).erf(), "max");
      t.store(z, [t.window("N", at, { stride: 3, offset: limit, divide: 2 })], t.stack("R", [v, v.neg()]));
    }, { from: 1, to: limit, part, block: "fine" });
  },
); // prettier-ignore
golden("everything else", trace(everything), `
kernel everything(in x: i32[N], in n: i32[], inout y: f32[N], out z: f32[R N])
  axes R = 2
  grid @0 = point of S
  %0: i32[] = load n {}
  %1: i32[] = idiv %0, 2
  %2: i32[] = and %1, 7
  loop @1 = block of N by fine from 1 to %2 share @0 {
    %3: i32[N@1] = load x {N: @1}
    %4: f32[N@1] = cast %3
    %5: i32[N@1] = iota @1
    %6: i32[] = start @1
    %7: bool[N@1] = ge %5, %6
    %8: i32[N@1] = iota @1
    %9: i32[] = end @1
    %10: bool[N@1] = lt %8, %9
    %11: bool[N@1] = not %10
    %12: bool[N@1] = and %7, %11
    %13: f32[N@1] = where %12, -0, Infinity
    %14: f32[N@1] = max %4, %13
    %15: f32[N@1] = erf %14
    store y {N: @1} max %15
    %16: f32[N@1] = neg %4
    %17: f32[N@1 R] = stack %4, %16 along R
    store z {N: (@1 · 3 + %2) / 2} %17
  }
`); // prettier-ignore

test("lines of the text are printed when asked for", () => {
  assert.match(print(trace(pagedAppend("bf16")), { where: true }), /load slot \{T: @0\} +; paged\.js:\d+\n/);
});
