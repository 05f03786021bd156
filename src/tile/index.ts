// troupe/kernel: the tile language. Write a kernel, trace it, verify, print and interpret the program.
export { axis, inout, input, kernel, optional, output } from "./kernel.js";
export type { AnyKernel, AxisSpec, Kernel, Params, TensorSpec } from "./kernel.js";
export type { Accumulator, At, Axis, Block, DotDType, Point, Scalar, Span, Tensor, Tile, Tracer } from "./tile.js";
export { gelu, geluTanh, quickGelu, rmsNorm, silu, softmax } from "./math.js";
export { trace } from "./trace.js";
export { verify } from "./verify.js";
export { print } from "./print.js";
export { interpret } from "./interpret.js";
export type { Launch } from "./interpret.js";
export type { TileTensor } from "./memory.js";
export { identityOf } from "./identity.js";
export { allOps, blockKeys, dotRoles, indicesOf, paramOf, valuesOf } from "./query.js";
export { constantOf, isConstant } from "./program.js";
export type * from "./program.js";
