import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { fillUniform } from "../../core/philox.js";
import { isCannot } from "../../device/native/found.js";
import { NativeMemory } from "../../device/native/memory.js";
import { openOpenMp } from "../../device/native/openmp.js";
import { NativeScope } from "../../device/native/scope.js";
import { BLAS_NAMES, type Blas, type Matrix, openBlas } from "./binding.js";

const scope = new NativeScope();
after(() => scope.dispose());

function floats(count: number, seed?: number): { readonly address: bigint; readonly values: Float32Array } {
  const memory = scope.own(new NativeMemory(count * 4, "poison"));
  const values = new Float32Array(memory.view());
  if (seed !== undefined) fillUniform(values, seed);
  return { address: memory.address, values };
}

const matrix = (address: bigint, rowStride: number, columnStride: number): Matrix => ({ address, rowStride, columnStride }); // prettier-ignore

/** Multiplies with the given strides and compares every element, and that nothing else was written. */
function check(
  blas: Blas,
  [m, n, k]: readonly [number, number, number],
  strides: { readonly a: readonly [number, number]; readonly b: readonly [number, number]; readonly c: readonly [number, number] }, // prettier-ignore
  options: { readonly beta?: number; readonly alpha?: number; readonly by?: "sgemm" | "sgemv" } = {},
): void {
  const extent = (rows: number, columns: number, [r, c]: readonly [number, number]): number => (rows - 1) * r + (columns - 1) * c + 1; // prettier-ignore
  const a = floats(extent(m, k, strides.a), 1);
  const b = floats(extent(k, n, strides.b), 2);
  const c = floats(extent(m, n, strides.c), options.beta ? 3 : undefined);
  const before = Float32Array.from(c.values);
  const expected = Float64Array.from(before);
  const written = new Set<number>();
  for (let i = 0; i < m; i++)
    for (let j = 0; j < n; j++) {
      let sum = 0;
      for (let l = 0; l < k; l++)
        sum += a.values[i * strides.a[0] + l * strides.a[1]]! * b.values[l * strides.b[0] + j * strides.b[1]]!;
      const at = i * strides.c[0] + j * strides.c[1];
      written.add(at);
      expected[at] = (options.alpha ?? 1) * sum + (options.beta ? options.beta * before[at]! : 0);
    }
  const step = blas[options.by ?? "sgemm"](scope, {
    m,
    n,
    k,
    a: matrix(a.address, ...strides.a),
    b: matrix(b.address, ...strides.b),
    c: matrix(c.address, ...strides.c),
    ...(options.alpha === undefined ? {} : { alpha: options.alpha }),
    ...(options.beta === undefined ? {} : { beta: options.beta }),
  });
  assert.ok(!isCannot(step), isCannot(step) ? step.cannot : "");
  blas.run(step);
  expected.forEach((x, i) => {
    const got = c.values[i]!;
    const right = written.has(i) ? Math.abs(got - x) <= 1e-6 * k : Object.is(got, before[i]);
    assert.ok(right, `element ${i} is ${got}, not ${x}`);
  });
}

describe("BLAS", () => {
  for (const name of BLAS_NAMES) {
    const opened = openBlas(name);
    const skip = isCannot(opened) ? opened.cannot : false;
    const blas = opened as Blas;
    describe(name, { skip }, () => {
      it("says its version", () => assert.match(blas.version, /^(OpenBLAS|BLIS) \d+\.\d+/));

      for (const [m, n, k] of [
        [1, 1, 1],
        [5, 7, 3],
        [33, 65, 17],
        [64, 1, 16],
        [1, 64, 16],
      ] as const) {
        it(`multiplies by a transposed weight (${m}×${n}×${k})`, () =>
          check(blas, [m, n, k], { a: [k, 1], b: [1, k], c: [n, 1] }));
      }
      it("multiplies plain matrices, wider rows, and column-major operands", () => {
        check(blas, [6, 8, 10], { a: [10, 1], b: [8, 1], c: [8, 1] });
        check(blas, [6, 8, 10], { a: [32, 1], b: [40, 1], c: [24, 1] });
        check(blas, [6, 8, 10], { a: [1, 6], b: [1, 12], c: [8, 1] });
      });
      it("scales, and adds to what is there", () => {
        check(blas, [6, 8, 10], { a: [10, 1], b: [1, 10], c: [8, 1] }, { alpha: 0.5, beta: 1 });
      });
      it("multiplies one row by sgemv", () => {
        check(blas, [1, 40, 24], { a: [24, 1], b: [1, 24], c: [40, 1] }, { by: "sgemv" });
        check(blas, [1, 40, 24], { a: [24, 1], b: [40, 1], c: [40, 1] }, { by: "sgemv", beta: 1 });
      });
      it("gives the same on one thread and two", () => {
        for (const threads of [1, 2]) {
          blas.setThreads(threads);
          check(blas, [130, 90, 70], { a: [70, 1], b: [1, 70], c: [90, 1] });
        }
      });
      it("says no to strides it cannot read", () => {
        const x = floats(64, 1);
        const step = blas.sgemm(scope, { m: 2, n: 2, k: 2, a: matrix(x.address, 8, 2), b: matrix(x.address, 2, 1), c: matrix(x.address, 2, 1) }); // prettier-ignore
        assert.match(isCannot(step) ? step.cannot : "made", /needs a stride of 1 .* 8×2, 2×1, 2×1/);
      });
    });
  }

  it("two libraries with the same symbols stay apart", (t) => {
    const [first, second] = BLAS_NAMES.map((name) => openBlas(name)) as [Blas, Blas];
    for (const blas of [first, second]) if (isCannot(blas)) return t.skip(blas.cannot);
    const one = { a: [4, 1], b: [1, 4], c: [4, 1] } as const;
    check(first, [4, 4, 4], one);
    check(second, [4, 4, 4], one);
    const step = (blas: Blas) => {
      const x = floats(4, 1);
      const m = matrix(x.address, 2, 1);
      const made = blas.sgemm(scope, { m: 2, n: 2, k: 2, a: m, b: m, c: matrix(floats(4).address, 2, 1) });
      return isCannot(made) ? 0n : made.function;
    };
    assert.notEqual(step(first), step(second));
    assert.notEqual(first.path, second.path);
  });
});

describe("OpenMP", () => {
  const openMp = openOpenMp();
  it("sets the size of the shared pool", { skip: isCannot(openMp) ? openMp.cannot : false }, () => {
    assert.ok(!isCannot(openMp));
    const before = openMp.maxThreads();
    openMp.setThreads(3);
    assert.equal(openMp.maxThreads(), 3);
    openMp.setThreads(before);
  });
});
