// What a generated CUDA kernel is: text, launch facts, and its arguments as data, so that any of them is launched alike.
/** A tensor map over dims listed fastest first; `split` cuts the fastest dim into panels of 64 elements. */
export interface MapArgument {
  readonly kind: "map";
  readonly tensor: string;
  /** Tensor axes, fastest first; several that lie at one stride, outermost first, may be one dim of the map. */
  readonly axes: readonly (string | readonly string[])[];
  /** Extent of the box along each axis, in elements. */
  readonly box: readonly number[];
  /** With panels, the map has the dims [64, axes[1], size(axes[0]) / 64, axes[2]…] and the box follows. */
  readonly panels: boolean;
}

export type KernelArgument =
  | MapArgument
  /** Size of an axis as int32. */
  | { readonly kind: "size"; readonly axis: string }
  /** Device address of a tensor. */
  | { readonly kind: "pointer"; readonly tensor: string }
  /** Stride of one dim of a tensor, in elements, as int64. */
  | { readonly kind: "stride"; readonly tensor: string; readonly dim: number }
  /** Device address of the workspace. */
  | { readonly kind: "workspace" }
  /** Device address of a 64-bit counter a multiprocessor, 0 before the first launch, which stays the kernel's own. */
  | { readonly kind: "counters" };

export interface CudaKernel {
  readonly name: string;
  readonly source: string;
  readonly threads: number;
  readonly sharedBytes: number;
  readonly cluster: number;
  /** Whether blocks without a piece of work of their own help others. */
  readonly fillsDevice: boolean;
  readonly arguments: readonly KernelArgument[];
  /** Pieces of work: the product over axes of ceil(size / tile). Blocks are as many as fit the device, no more than these. */
  readonly tiles: readonly { readonly axis: string; readonly tile: number }[];
}
