// How wrong a correct result may be, as ‖out − ref‖ / ‖ref‖ of a row: one rounding of the store and what accumulation adds.
import { isFloat, unitRoundoff, type DType } from "../../core/dtype.js";

/** Roundoff of the arithmetic behind a result: float32 for every dtype but float64. */
export const arithmeticRoundoff = (dtype: DType): number => unitRoundoff(dtype === "f64" ? "f64" : "f32");

/**
 * One store in `dtype`, `roundings` times over where values in between are stored in it too, with 2 % of play:
 * bf16 gives 4e-3 for one and 6e-3 for one and a half.
 */
export const stored = (dtype: DType, roundings = 1): number => 1.024 * roundings * unitRoundoff(dtype);

/**
 * A sum of `terms` products of random signs in float32. One after another they err by about 0.4·√terms roundoffs of
 * ‖row‖; √terms + 4 fourfold leaves a factor of ten for other orders and for operands of like sign. A row of few
 * results may cancel (of one result, one in a hundred is below 1 % of its usual size), hence the last factor.
 */
export const summed = (dtype: DType, terms: number, width: number): number =>
  stored(dtype) + 4 * arithmeticRoundoff(dtype) * (Math.sqrt(terms) + 4) * (1 + 24 / width);

/** A sum over `terms` and functions whose own error is `functions` roundoffs. */
export const evaluated = (dtype: DType, terms: number, functions: number, roundings = 1): number =>
  stored(dtype, roundings) + 4 * arithmeticRoundoff(dtype) * (Math.sqrt(terms) + functions);

/** Moved, not computed: equal bit for bit. */
export const exact = (): number => 0;

/** Integers are right or wrong; floats get `tolerance`. */
export const forFloat = (dtype: DType, tolerance: number): number => (isFloat(dtype) ? tolerance : 0);
