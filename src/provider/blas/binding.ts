// BLAS libraries through their Fortran symbols, which every build has and which take all arguments by address, so that
// a product is a call of machine words. Several libraries live side by side: each is loaded with its own symbols first.
import { type Found, isCannot } from "../../device/native/found.js";
import { type Library, type LibraryQuery, functionAt, openLibrary, stringAt } from "../../device/native/library.js";
import type { NativeScope } from "../../device/native/scope.js";
import { wordFunction } from "../../device/native/words.js";

export type BlasName = "openblas" | "blis";
export const BLAS_NAMES = ["openblas", "blis"] as const satisfies readonly BlasName[];

/** A row-major view of a matrix: element (i, j) lies `i · rowStride + j · columnStride` elements after the address. */
export interface Matrix {
  readonly address: bigint;
  readonly rowStride: number;
  readonly columnStride: number;
}

/** c[m, n] = a[m, k] · b[k, n] + beta · c. */
export interface Product {
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly a: Matrix;
  readonly b: Matrix;
  readonly c: Matrix;
  readonly alpha?: number;
  readonly beta?: number;
}

/** A step: what is called, and with which words. Its return value means nothing. */
export interface BlasStep {
  readonly function: bigint;
  readonly words: readonly bigint[];
}

export interface Blas {
  readonly name: BlasName;
  /** "OpenBLAS 0.3.21 …" or "BLIS 0.9.0": for people and for record keys. */
  readonly version: string;
  readonly path: string;
  /** Threads of the products to come, in the whole process. */
  setThreads(threads: number): void;
  /** The step of an f32 product, whose constants live in `scope`; "cannot" when no stride is 1 where BLAS needs it. */
  sgemm(scope: NativeScope, product: Product): Found<BlasStep>;
  /** The same by sgemv, for a product of one row (m = 1), where it is several times faster than sgemm. */
  sgemv(scope: NativeScope, product: Product): Found<BlasStep>;
  /** Runs a step at once. */
  run(step: BlasStep): void;
}

export const BLAS_QUERIES: Readonly<Record<BlasName, LibraryQuery>> = {
  openblas: {
    name: "OpenBLAS",
    files: ["libopenblas.so.0", "libopenblas.so"],
    folders: ["/usr/lib/x86_64-linux-gnu/openblas-openmp"],
    requires: ["openblas_get_config", "openblas_set_num_threads", "sgemm_", "sgemv_"],
    deep: true,
    advice: "Debian and Ubuntu have it as the package libopenblas0-openmp.",
  },
  blis: {
    name: "BLIS",
    files: ["libblis.so.4", "libblis.so.3", "libblis.so"],
    folders: ["/usr/lib/x86_64-linux-gnu/blis-openmp"],
    requires: ["bli_info_get_version_str", "bli_thread_set_num_threads", "sgemm_", "sgemv_"],
    deep: true,
    advice: "Debian and Ubuntu have it as the package libblis4-openmp.",
  },
};

/** Finds a BLAS. `files` replaces the usual file names. */
export function openBlas(name: BlasName, files?: readonly string[]): Found<Blas> {
  const library = openLibrary(files ? { ...BLAS_QUERIES[name], files, folders: [] } : BLAS_QUERIES[name]);
  if (isCannot(library)) return library;
  const about = name === "openblas" ? openblas(library) : blis(library);
  if (isCannot(about)) return about;
  const [gemm, gemv] = [library.address("sgemm_")!, library.address("sgemv_")!];
  return {
    name,
    path: library.path,
    ...about,
    sgemm: (scope, product) => gemmStep(gemm, scope, product),
    sgemv: (scope, product) => gemvStep(gemv, scope, product),
    run: (step) => void wordFunction(step.function, step.words.length)(...step.words),
  };
}

type About = Pick<Blas, "version" | "setThreads">;

function openblas(library: Library): Found<About> {
  const version = stringAt(functionAt(library.address("openblas_get_config")!, "openblas_get_config", ["pointer"])());
  if (version.includes("USE64BITINT")) {
    return { cannot: `${version} (${library.path}) takes 64-bit integers; a build with 32-bit integers is needed` };
  }
  const set = functionAt(library.address("openblas_set_num_threads")!, "openblas_set_num_threads", ["void", "i32"]);
  return { version: version.trim(), setThreads: (threads) => set(threads) };
}

function blis(library: Library): Found<About> {
  const text = functionAt(library.address("bli_info_get_version_str")!, "bli_info_get_version_str", ["pointer"])();
  const set = functionAt(library.address("bli_thread_set_num_threads")!, "bli_thread_set_num_threads", ["void", "i64"]);
  return { version: `BLIS ${stringAt(text)}`, setThreads: (threads) => set(threads) };
}

/** How a row-major matrix is read by column-major BLAS: its transpose as it lies ("N"), or itself ("T"). */
function reading(
  matrix: Matrix,
  rows: number,
  columns: number,
): { readonly flag: "N" | "T"; readonly lead: number } | undefined {
  if (matrix.columnStride === 1 || columns === 1) return { flag: "N", lead: Math.max(matrix.rowStride, columns, 1) };
  if (matrix.rowStride === 1 || rows === 1) return { flag: "T", lead: Math.max(matrix.columnStride, rows, 1) };
  return undefined;
}

/** Row-major c = a·b is column-major cᵀ = bᵀ·aᵀ: the operands change places. */
function gemmStep(address: bigint, scope: NativeScope, product: Product): Found<BlasStep> {
  const { m, n, k, a, b, c, alpha = 1, beta = 0 } = product;
  const [left, right, target] = [reading(b, k, n), reading(a, m, k), reading(c, m, n)];
  if (!left || !right || !target || target.flag === "T") return { cannot: strideSentence(product) };
  if (tooLarge([m, n, k, left.lead, right.lead, target.lead]))
    return { cannot: "BLAS has 32-bit sizes; this product exceeds them" };
  const int = (value: number): bigint => scope.ints([value]);
  const [one, other] = [scope.floats([alpha]), scope.floats([beta])];
  const words = [
    scope.cString(left.flag), scope.cString(right.flag), int(n), int(m), int(k), one,
    b.address, int(left.lead), a.address, int(right.lead), other, c.address, int(target.lead),
  ]; // prettier-ignore
  return { function: address, words };
}

function gemvStep(address: bigint, scope: NativeScope, product: Product): Found<BlasStep> {
  const { m, n, k, a, b, c, alpha = 1, beta = 0 } = product;
  if (m !== 1) return { cannot: `sgemv multiplies one row, not ${m}` };
  const matrix = reading(b, k, n);
  if (!matrix) return { cannot: strideSentence(product) };
  if (tooLarge([n, k, matrix.lead, a.columnStride, c.columnStride]))
    return { cannot: "BLAS has 32-bit sizes; this product exceeds them" };
  const int = (value: number): bigint => scope.ints([value]);
  // Column-major BLAS sees b [k, n] as n × k when it lies by rows, as k × n when it lies by columns.
  const [rows, columns] = matrix.flag === "N" ? [n, k] : [k, n];
  const words = [
    scope.cString(matrix.flag), int(rows), int(columns), scope.floats([alpha]), b.address, int(matrix.lead),
    a.address, int(a.columnStride), scope.floats([beta]), c.address, int(c.columnStride),
  ]; // prettier-ignore
  return { function: address, words };
}

const tooLarge = (values: readonly number[]): boolean => values.some((value) => value > 0x7fffffff);

const strideSentence = ({ a, b, c }: Product): string =>
  `BLAS needs a stride of 1 in each matrix and rows of the result in memory order; the strides are ${[a, b, c]
    .map(({ rowStride, columnStride }) => `${rowStride}×${columnStride}`)
    .join(", ")}`;
