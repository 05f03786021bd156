// The numbers of oneDNN 2.6's public headers that the binding uses.

/** sizeof(dnnl_memory_desc_t); the same in 2.6 and 2.7. */
export const MEMORY_DESC_BYTES = 696;
/** Room for the largest operation descriptor (a convolution's has 5976 bytes in 2.6). */
export const OP_DESC_BYTES = 8192;

export const MAX_DIMS = 12;
export const FORMAT_ANY = 1;
export const ENGINE_CPU = 1;
export const STREAM_IN_ORDER = 1;
export const SCRATCHPAD_USER = 1;
export const FORWARD_INFERENCE = 96;
export const SOFTMAX_ACCURATE = 0x30000;
export const RESAMPLING_NEAREST = 0x2fff0;
export const CONVOLUTION = { direct: 1, winograd: 2, auto: 3 } as const;

export const DATA_TYPE = { f16: 1, bf16: 2, f32: 3, i32: 4, i8: 5, u8: 6 } as const;
export type DnnDType = keyof typeof DATA_TYPE;

export const ELTWISE = {
  relu: 0x1f, tanh: 0x2f, square: 0x4f, abs: 0x5f, sqrt: 0x6f, linear: 0x7f, sigmoid: 0xaf, exp: 0xbf,
  gelu_tanh: 0xcf, gelu_erf: 0x30, swish: 0xdf, log: 0xef, clip: 0xff,
} as const; // prettier-ignore
export type EltwiseKind = keyof typeof ELTWISE;

export const BINARY = { add: 0x1fff0, mul: 0x1fff1, max: 0x1fff2, min: 0x1fff3, div: 0x1fff4, sub: 0x1fff5 } as const;
export type BinaryKind = keyof typeof BINARY;

export const NORM_USE_SCALE = 8;
export const NORM_USE_SHIFT = 16;

export const QUERY = { impl: 8, src: 129, weights: 131, dst: 133, scratchpad: 136 } as const;

/** Which memory of a primitive an argument is. */
export const ARG = { src: 1, src1: 2, dst: 17, weights: 33, bias: 41, scale: 51, shift: 52, scratchpad: 80 } as const;
/** The second operand of the binary post-op at `index`. */
export const postOpArg = (index: number): number => (16384 * (index + 1)) | ARG.src1;

export const STATUS = [
  "success", "out of memory", "invalid arguments", "unimplemented", "iterator ends", "runtime error", "not required",
] as const; // prettier-ignore
export const UNIMPLEMENTED = 3;
