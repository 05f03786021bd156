// Plain references in double precision that several tests share.
import { roundTo } from "../../core/dtype.js";
import type { TileTensor } from "../index.js";
import { fill, get } from "./harness.js";

export const sum = (n: number, f: (i: number) => number): number => {
  let total = 0;
  for (let i = 0; i < n; i++) total += f(i);
  return total;
};

/** a[M K] · b[N K]. */
export const product = (a: TileTensor, b: TileTensor): TileTensor =>
  fill([a.shape[0]!, b.shape[0]!], (m, n) => sum(a.shape[1]!, (k) => get(a, m, k) * get(b, n, k)));

/** The f32 number that x becomes. */
export const f32 = (x: number): number => roundTo("f32", x);

export const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
export const geluTanh = (x: number): number =>
  0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));

/** One row of attention: values weighted by the softmax of scores; a score of -Infinity takes no part. */
export function attend(scores: readonly number[], value: (l: number) => number): number {
  const most = Math.max(...scores);
  const weights = scores.map((s) => Math.exp(s - most));
  const total = weights.reduce((x, y) => x + y, 0);
  return weights.reduce((out, w, l) => out + (w === 0 ? 0 : (w / total) * value(l)), 0);
}
