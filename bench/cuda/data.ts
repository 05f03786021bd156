// Inputs and value checks of the CUDA spike: random bf16, sampled rows in float64, and a random-vector check that
// touches every element of a product.
import { fromBf16Bits, toBf16Bits } from "../../src/core/dtype.js";

/** bf16 bits of about normal numbers (the sum of four bytes), the same for the same seed. */
export function randomBf16(count: number, seed: number): Uint16Array {
  const table = Uint16Array.from({ length: 1021 }, (_, sum) => toBf16Bits((sum - 510) / 147.8));
  const out = new Uint16Array(count);
  let x = (seed * 2654435761 + 12345) >>> 0 || 1;
  for (let i = 0; i < count; i++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    out[i] = table[(x & 255) + ((x >>> 8) & 255) + ((x >>> 16) & 255) + (x >>> 24)]!;
  }
  return out;
}

const decode = Float32Array.from({ length: 65536 }, (_, bits) => fromBf16Bits(bits));
export const widen = (bits: Uint16Array): Float32Array => Float32Array.from(bits, (b) => decode[b]!);

export interface ErrorReport {
  /** Largest ‖row − reference‖ / ‖reference‖ over the sampled rows. */
  readonly rowError: number;
  /** Largest |residual| / ‖row‖ of a product with a vector of signs; null where it does not apply. */
  readonly vectorError: number | null;
  readonly sampledRows: number;
  /** The first elements that are far off: position, value, reference. */
  readonly wrong: readonly string[];
}

/** c[M N] against epilogue(a · bᵀ); `after` is applied to the exact product of sampled rows. */
export function checkMatmul(
  a: Uint16Array,
  b: Uint16Array,
  c: Uint16Array,
  m: number,
  n: number,
  k: number,
  after: ((product: number, row: number, col: number) => number) | undefined,
): ErrorReport {
  // prettier-ignore
  const A = widen(a);
  const B = widen(b);
  const C = widen(c);
  const rows = [...new Set([0, 1, 7, 8, 63, 64, 127, 128, 191, 255, 256, m >> 1, m - 65, m - 2, m - 1])].filter(
    (r) => r >= 0 && r < m,
  );
  const wrong: string[] = [];
  let rowError = 0;
  for (const row of rows) {
    let error = 0;
    let norm = 0;
    for (let col = 0; col < n; col++) {
      let sum = 0;
      for (let i = 0; i < k; i++) sum += A[row * k + i]! * B[col * k + i]!;
      const reference = after ? after(sum, row, col) : sum;
      const got = C[row * n + col]!;
      error += (got - reference) ** 2;
      norm += reference ** 2;
      if (!(Math.abs(got - reference) <= 0.05 * Math.abs(reference) + 0.05 * Math.sqrt(k)) && wrong.length < 6)
        wrong.push(`[${row},${col}] ${got} for ${reference.toFixed(4)}`);
    }
    const relative = Math.sqrt(error / norm);
    if (!(relative <= rowError)) rowError = relative;
  }
  return { rowError, vectorError: after ? null : vectorError(A, B, C, m, n, k), sampledRows: rows.length, wrong };
}

function vectorError(A: Float32Array, B: Float32Array, C: Float32Array, m: number, n: number, k: number): number {
  const signs = Float64Array.from({ length: n }, (_, i) => ((Math.imul(i + 1, 2654435761) >>> 13) & 1 ? 1 : -1));
  const y = new Float64Array(k);
  for (let col = 0; col < n; col++) for (let i = 0; i < k; i++) y[i]! += signs[col]! * B[col * k + i]!;
  let worst = 0;
  for (let row = 0; row < m; row++) {
    let expected = 0;
    for (let i = 0; i < k; i++) expected += A[row * k + i]! * y[i]!;
    let got = 0;
    let norm = 0;
    for (let col = 0; col < n; col++) {
      const x = C[row * n + col]!;
      got += signs[col]! * x;
      norm += x * x;
    }
    const error = Math.abs(got - expected) / Math.sqrt(norm);
    if (!(error <= worst)) worst = error;
  }
  return worst;
}

export interface AttentionShape {
  readonly heads: number;
  readonly queries: number;
  readonly keys: number;
  readonly depth: number;
}

/** o[H Q D] against softmax(q kᵀ · scale) v on rows of every head. */
export function checkAttention(
  q: Uint16Array,
  k: Uint16Array,
  v: Uint16Array,
  o: Uint16Array,
  shape: AttentionShape,
  causal: boolean,
  rowsAHead: number,
): ErrorReport {
  // prettier-ignore
  const { heads, queries, keys, depth } = shape;
  const [Q, K, V, O] = [widen(q), widen(k), widen(v), widen(o)];
  const scale = depth ** -0.5;
  const wrong: string[] = [];
  let rowError = 0;
  let sampledRows = 0;
  for (let head = 0; head < heads; head++)
    for (let sample = 0; sample < rowsAHead; sample++) {
      const row =
        sample === 0 ? queries - 1 - head : ((sample * 197 + head * 67 + (sample * queries) / rowsAHead) % queries) | 0;
      const last = causal ? Math.min(row + 1, keys) : keys;
      const p = new Float64Array(last);
      let max = -Infinity;
      for (let j = 0; j < last; j++) {
        let dot = 0;
        for (let d = 0; d < depth; d++)
          dot += Q[(head * queries + row) * depth + d]! * K[(head * keys + j) * depth + d]!;
        p[j] = dot * scale;
        max = Math.max(max, p[j]!);
      }
      let total = 0;
      const out = new Float64Array(depth);
      for (let j = 0; j < last; j++) {
        const weight = Math.exp(p[j]! - max);
        total += weight;
        for (let d = 0; d < depth; d++) out[d]! += weight * V[(head * keys + j) * depth + d]!;
      }
      let error = 0;
      let norm = 0;
      for (let d = 0; d < depth; d++) {
        const reference = out[d]! / total;
        const got = O[(head * queries + row) * depth + d]!;
        error += (got - reference) ** 2;
        norm += reference ** 2;
        if (!(Math.abs(got - reference) <= 0.02 + 0.05 * Math.abs(reference)) && wrong.length < 6)
          wrong.push(`[${head},${row},${d}] ${got} for ${reference.toFixed(4)}`);
      }
      const relative = Math.sqrt(error / norm);
      if (!(relative <= rowError)) rowError = relative;
      sampledRows++;
    }
  return { rowError, vectorError: null, sampledRows, wrong };
}
