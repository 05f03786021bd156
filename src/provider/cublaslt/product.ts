// Descriptors of one product, the algorithms that the library offers for it, and the built product as a kernel.
import { dtypeBytes, type DType } from "../../core/dtype.js";
import { TroupeError } from "../../core/error.js";
import type { Operand, Region } from "../../graph/region.js";
import type { Address, Step } from "../../device/device.js";
import type { Binding, Kernel } from "../provider.js";
import type { Form, Matrix } from "./form.js";
import type { CublasLt } from "./library.js";

export const TYPE: Partial<Record<DType, number>> = { f32: 0, f16: 2, bf16: 14 };
/** Products and sums in f32, operands as they are: no TF32. */
export const COMPUTE_F32 = 68;
export const SCALE_F32 = 0;
const DESC = { transA: 3, transB: 4, epilogue: 7, biasPointer: 8, biasType: 26 } as const;
const EPILOGUE = { none: 1, bias: 4, gelu: 32, geluBias: 36 } as const;
const LAYOUT = { batchCount: 5, batchStride: 6 } as const;
const PREFERENCE = { workspaceBytes: 1, alignA: 5, alignB: 6, alignC: 7, alignD: 8 } as const;
export const RESULT_BYTES = 96;
export const ALGO_BYTES = 64;
export const MOST_WORKSPACE_BYTES = 32 << 20;

const int = (x: number): Int32Array => Int32Array.of(x);
const long = (x: bigint | number): BigInt64Array => BigInt64Array.of(BigInt(x));

/** An algorithm of the library: plain data for the same version and device. */
export interface Algorithm {
  readonly bytes: Uint8Array;
  readonly workspaceBytes: number;
}

/** The matrix layouts of a form; free them when nothing is launched any more. */
export class Layouts implements Disposable {
  readonly a: bigint;
  readonly b: bigint;
  readonly c: bigint;
  readonly d: bigint;

  constructor(
    readonly library: CublasLt,
    form: Form,
  ) {
    const make = ({ rows, columns, ld, batchStride }: Matrix, dtype = form.dtype): bigint => {
      const layout = library.make("cublasLtMatrixLayoutCreate", TYPE[dtype]!, rows, columns, ld);
      if (form.batch > 1) {
        library.call("cublasLtMatrixLayoutSetAttribute", layout, LAYOUT.batchCount, int(form.batch), 4);
        library.call("cublasLtMatrixLayoutSetAttribute", layout, LAYOUT.batchStride, long(batchStride), 8);
      }
      return layout;
    };
    this.a = make(form.a);
    this.b = make(form.b);
    this.c = make(form.residual?.c ?? form.d, form.resultDtype);
    this.d = make(form.d, form.resultDtype);
  }

  [Symbol.dispose](): void {
    for (const layout of [this.a, this.b, this.c, this.d]) this.library.call("cublasLtMatrixLayoutDestroy", layout);
  }
}

/** The operation of a form with its bias at an address. */
export function describe(library: CublasLt, form: Form, bias: bigint): bigint {
  const desc = library.make("cublasLtMatmulDescCreate", COMPUTE_F32, SCALE_F32);
  const set = (attribute: number, value: NodeJS.ArrayBufferView): void =>
    library.call("cublasLtMatmulDescSetAttribute", desc, attribute, value, value.byteLength);
  // A matrix is named by its rows and the contracted axis: the library's A has them the other way round than its B.
  set(DESC.transA, int(form.a.transposed ? 0 : 1));
  set(DESC.transB, int(form.b.transposed ? 1 : 0));
  const hasBias = form.bias !== undefined;
  set(DESC.epilogue, int(form.gelu ? (hasBias ? EPILOGUE.geluBias : EPILOGUE.gelu) : hasBias ? EPILOGUE.bias : EPILOGUE.none)); // prettier-ignore
  if (hasBias) {
    set(DESC.biasPointer, long(bias));
    set(DESC.biasType, int(TYPE[form.dtype]!));
  }
  return desc;
}

/** Bytes that divide the addresses of the operands. */
export interface Alignments {
  readonly a: number;
  readonly b: number;
  readonly c: number;
  readonly d: number;
  readonly bias: number;
}

/** Of every picture's operands. */
export function alignmentsOf(region: Region, form: Form): Alignments {
  const { left, right, residual, bias, pictures = 1 } = form;
  const of = ({ alignmentBytes }: Operand): number => alignmentBytes;
  const ofEach = (operand: Operand, { batchStride }: Matrix): number =>
    pictures === 1 ? of(operand) : alignedApart(of(operand), batchStride * dtypeBytes(operand.dtype));
  const { inputs } = region;
  const d = ofEach(region.outputs[0]!, form.d);
  return {
    a: of(inputs[left]!),
    b: ofEach(inputs[right]!, form.b),
    c: residual ? ofEach(inputs[residual.input]!, residual.c) : d,
    d,
    bias: bias === undefined ? 64 : of(inputs[bias]!),
  };
}

/** A power of two that divides the addresses of tensors so many bytes apart, the first of which `alignment` divides. */
export const alignedApart = (alignment: number, bytes: number): number =>
  bytes % alignment === 0 ? alignment : alignedApart(alignment / 2, bytes);

/** Algorithms in the order in which the library's heuristic trusts them, at most `most`. */
export function algorithmsFor(
  library: CublasLt,
  form: Form,
  alignments: Alignments,
  most: number,
): readonly Algorithm[] {
  using layouts = new Layouts(library, form);
  const desc = describe(library, form, BigInt(alignments.bias));
  const preference = library.make("cublasLtMatmulPreferenceCreate");
  try {
    const prefer = (attribute: number, value: NodeJS.ArrayBufferView): void =>
      library.call("cublasLtMatmulPreferenceSetAttribute", preference, attribute, value, value.byteLength);
    prefer(PREFERENCE.workspaceBytes, long(MOST_WORKSPACE_BYTES));
    prefer(PREFERENCE.alignA, int(alignments.a));
    prefer(PREFERENCE.alignB, int(alignments.b));
    prefer(PREFERENCE.alignC, int(alignments.c));
    prefer(PREFERENCE.alignD, int(alignments.d));
    const results = new Uint8Array(most * RESULT_BYTES);
    const found = int(0);
    const status = library.attempt(
      "cublasLtMatmulAlgoGetHeuristic", library.handle, desc, layouts.a, layouts.b, layouts.c, layouts.d, preference,
      most, results, found,
    ); // prettier-ignore
    if (status !== 0) return [];
    const view = new DataView(results.buffer);
    return Array.from({ length: found[0]! }, (_, i) => i * RESULT_BYTES)
      .filter((at) => view.getInt32(at + 72, true) === 0)
      .map((at) => ({ bytes: results.slice(at, at + ALGO_BYTES), workspaceBytes: Number(view.getBigUint64(at + 64, true)) })); // prettier-ignore
  } finally {
    library.call("cublasLtMatmulPreferenceDestroy", preference);
    library.call("cublasLtMatmulDescDestroy", desc);
  }
}

/** One product, or one for each picture, with one algorithm. */
export class Product implements Kernel {
  readonly #library: CublasLt;
  readonly #name: string;
  readonly #form: Form;
  readonly #algorithm: Algorithm;
  readonly #layouts: Layouts;
  readonly #descs: bigint[] = [];

  constructor(library: CublasLt, name: string, form: Form, algorithm: Algorithm) {
    this.#library = library;
    this.#name = name;
    this.#form = form;
    this.#algorithm = algorithm;
    this.#layouts = new Layouts(library, form);
  }

  pack(): void {
    throw new TroupeError("internal", "cublaslt packs nothing");
  }

  bind({ inputs, outputs, workspace }: Binding): readonly Step[] {
    const library = this.#library;
    const form = this.#form;
    const layouts = this.#layouts;
    const desc = describe(library, form, form.bias === undefined ? 0n : inputs[form.bias]!);
    this.#descs.push(desc);
    const { pictures = 1, residual } = form;
    const [alpha, beta] = [Float32Array.of(form.alpha ?? 1), Float32Array.of(residual ? 1 : 0)];
    const { bytes, workspaceBytes } = this.#algorithm;
    const a = inputs[form.left]!;
    return Array.from({ length: pictures }, (_, picture): Step => {
      const at = (address: Address, { batchStride }: Matrix): Address =>
        address + BigInt(picture * batchStride * dtypeBytes(form.dtype));
      const [b, d] = [at(inputs[form.right]!, form.b), at(outputs[0]!, form.d)];
      const c = residual ? at(inputs[residual.input]!, residual.c) : d;
      return {
        kind: "launch",
        name: this.#name,
        launch: (stream) =>
          library.call(
            "cublasLtMatmul", library.handle, desc, alpha, a, layouts.a, b, layouts.b, beta, c, layouts.c, d, layouts.d,
            bytes, workspace, workspaceBytes, stream.handle,
          ), // prettier-ignore
      };
    });
  }

  dispose(): void {
    for (const desc of this.#descs.splice(0)) this.#library.call("cublasLtMatmulDescDestroy", desc);
    this.#layouts[Symbol.dispose]();
  }
}
