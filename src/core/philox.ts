// Philox4x32-10 (Salmon et al., SC'11): counter-based random numbers, so noise is a pure function of seed and index.

/** Four uniform 32-bit words for a 64-bit key and a 128-bit counter whose low words are `block` and `stream`. */
export function philox(seed: number, block: number, stream = 0): [number, number, number, number] {
  let [c0, c1, c2, c3] = [block >>> 0, Math.floor(block / 2 ** 32) >>> 0, stream >>> 0, 0];
  let k0 = seed >>> 0;
  let k1 = Math.floor(seed / 2 ** 32) >>> 0;
  for (let round = 0; round < 10; round++) {
    const [h0, l0] = multiply(0xd2511f53, c0);
    const [h1, l1] = multiply(0xcd9e8d57, c2);
    [c0, c1, c2, c3] = [(h1 ^ c1 ^ k0) >>> 0, l1, (h0 ^ c3 ^ k1) >>> 0, l0];
    k0 = (k0 + 0x9e3779b9) >>> 0;
    k1 = (k1 + 0xbb67ae85) >>> 0;
  }
  return [c0, c1, c2, c3];
}

/** High and low word of a 32 × 32 bit product. */
function multiply(a: number, b: number): [number, number] {
  const low = Math.imul(a, b) >>> 0;
  const aLow = a & 0xffff, aHigh = a >>> 16, bLow = b & 0xffff, bHigh = b >>> 16; // prettier-ignore
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16);
  const carry = aLow * bHigh + (middle % 65536);
  return [(aHigh * bHigh + Math.floor(middle / 65536) + Math.floor(carry / 65536)) >>> 0, low];
}

/** mean + deviation · x, where x is element i of `fillNormal`. */
export interface NormalNumbers {
  readonly seed: number;
  readonly stream: number;
  readonly deviation: number;
  readonly mean: number;
}

/**
 * Fills `out` with standard normal numbers (Box-Muller over Philox words), the same on every machine to rounding.
 * @param firstBlock of four numbers: where in the stream they begin
 */
export function fillNormal(out: Float32Array | Float64Array, seed: number, stream = 0, firstBlock = 0): void {
  for (let i = 0; i < out.length; i += 4) {
    const words = philox(seed, firstBlock + i / 4, stream);
    for (let pair = 0; pair < 2; pair++) {
      const radius = Math.sqrt(-2 * Math.log((words[2 * pair]! + 0.5) / 2 ** 32));
      const angle = 2 * Math.PI * ((words[2 * pair + 1]! + 0.5) / 2 ** 32);
      if (i + 2 * pair < out.length) out[i + 2 * pair] = radius * Math.cos(angle);
      if (i + 2 * pair + 1 < out.length) out[i + 2 * pair + 1] = radius * Math.sin(angle);
    }
  }
}

/** Fills `out` with uniform numbers in [-1, 1). */
export function fillUniform(out: Float32Array | Float64Array, seed: number, stream = 0): void {
  for (let i = 0; i < out.length; i += 4) {
    const words = philox(seed, i / 4, stream);
    for (let j = 0; j < 4 && i + j < out.length; j++) out[i + j] = words[j]! / 2 ** 31 - 1;
  }
}
