// The noise levels of flow-matching Euler: x at level sigma is sigma * noise + (1 - sigma) * image.
import { TroupeError } from "../../core/error.js";
import type { FlowMatchConfig } from "../../model/config.js";

/** The exponent of the resolution-dependent shift: a straight line through (base length, base) and (max length, max). */
export function shiftExponent(config: FlowMatchConfig, imageTokens: number): number {
  const { base_shift, max_shift, base_image_seq_len, max_image_seq_len } = config;
  const slope = (max_shift - base_shift) / (max_image_seq_len - base_image_seq_len);
  return imageTokens * slope + (base_shift - base_image_seq_len * slope);
}

/**
 * `steps` + 1 levels from 1 down to 0, in float32. Only the number of image tokens matters for the dynamic shift.
 * Errors: TroupeError("usage") when `steps` is not a whole number from 1 to 1000.
 */
export function flowSigmas(config: FlowMatchConfig, steps: number, imageTokens: number): number[] {
  if (!Number.isInteger(steps) || steps < 1 || steps > config.num_train_timesteps) {
    throw new TroupeError("usage", `${steps} steps: a whole number from 1 to ${config.num_train_timesteps} is needed`, {
      advice: "4 suits schnell models, 28 to 50 dev models",
    });
  }
  const plain = Array.from({ length: steps }, (_, i) => (steps - i) / steps);
  const shifted = plain.map((sigma) => shiftSigma(config, sigma, imageTokens));
  const last = 1 - shifted.at(-1)!;
  const terminal = config.shift_terminal;
  const ended = terminal === null ? shifted : shifted.map((sigma) => 1 - ((1 - sigma) * (1 - terminal)) / last);
  if (!ended.every(Number.isFinite))
    throw new TroupeError("model", `the scheduler's config gives no noise levels for ${steps} steps`, {
      advice: "check shift_terminal and the shifts in scheduler_config.json",
      details: { steps },
    });
  return [...ended.map(Math.fround), 0];
}

function shiftSigma(config: FlowMatchConfig, sigma: number, imageTokens: number): number {
  if (!config.use_dynamic_shifting) return (config.shift * sigma) / (1 + (config.shift - 1) * sigma);
  const mu = shiftExponent(config, imageTokens);
  const weight = config.time_shift_type === "exponential" ? Math.exp(mu) : mu;
  return weight / (weight + (1 / sigma - 1));
}
