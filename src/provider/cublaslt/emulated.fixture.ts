// cuBLASLt's product in float32 as the library defines it, column-major, on numbers of this process: what descriptors and
// layouts say is remembered, a launch computes at once. GELU is not in it.
import { TroupeError } from "../../core/error.js";
import type { CublasLt } from "./library.js";

const DESC = { transA: 3, transB: 4, epilogue: 7, biasPointer: 8 } as const;
const EPILOGUE = { none: 1, bias: 4 } as const;
const LAYOUT = { batchCount: 5, batchStride: 6 } as const;

interface Layout {
  readonly rows: number;
  readonly columns: number;
  readonly ld: number;
  readonly attributes: Map<number, number>;
}

/** The library over a memory of numbers, whose addresses count bytes from 0. */
export function emulatedCublasLt(memory: Float32Array): CublasLt {
  const layouts = new Map<bigint, Layout>();
  const descs = new Map<bigint, Map<number, number>>();
  let handles = 0n;
  const make: CublasLt["make"] = (name, ...args) => {
    handles++;
    if (name === "cublasLtMatmulDescCreate") descs.set(handles, new Map());
    else if (name === "cublasLtMatrixLayoutCreate") {
      const [, rows, columns, ld] = args as readonly number[];
      layouts.set(handles, { rows: rows!, columns: columns!, ld: ld!, attributes: new Map() });
    } else throw new TroupeError("internal", `${name} is not emulated`);
    return handles;
  };
  const call: CublasLt["call"] = (name, ...args) => {
    if (name === "cublasLtMatmul") return multiply(args as readonly (bigint & Float32Array)[]);
    const [handle, attribute, value] = args as readonly [bigint, number, Int32Array | BigInt64Array];
    if (name === "cublasLtMatmulDescSetAttribute") descs.get(handle)!.set(attribute, Number(value[0]));
    else if (name === "cublasLtMatrixLayoutSetAttribute")
      layouts.get(handle)!.attributes.set(attribute, Number(value[0])); // prettier-ignore
    else if (!name.endsWith("Destroy")) throw new TroupeError("internal", `${name} is not emulated`);
  };

  function multiply(args: readonly (bigint & Float32Array)[]): void {
    const [, desc, [alpha], a, aLayout, b, bLayout, [beta], c, cLayout, d, dLayout] = args as unknown as readonly [bigint, bigint, readonly [number], bigint, bigint, bigint, bigint, readonly [number], bigint, bigint, bigint, bigint]; // prettier-ignore
    const said = descs.get(desc)!;
    const epilogue = said.get(DESC.epilogue)!;
    if (epilogue !== EPILOGUE.none && epilogue !== EPILOGUE.bias) throw new TroupeError("internal", `epilogue ${epilogue} is not emulated`); // prettier-ignore
    const [A, B, C, D] = [aLayout, bLayout, cLayout, dLayout].map((layout) => layouts.get(layout)!) as [Layout, Layout, Layout, Layout]; // prettier-ignore
    const [transA, transB] = [said.get(DESC.transA) === 1, said.get(DESC.transB) === 1];
    const K = transA ? A.rows : A.columns;
    const at = (address: bigint, { ld, attributes }: Layout, batch: number, row: number, column: number): number =>
      Number(address) / 4 + batch * (attributes.get(LAYOUT.batchStride) ?? 0) + row + column * ld;
    for (let batch = 0; batch < (D.attributes.get(LAYOUT.batchCount) ?? 1); batch++)
      for (let m = 0; m < D.rows; m++)
        for (let n = 0; n < D.columns; n++) {
          let sum = 0;
          for (let k = 0; k < K; k++)
            sum += memory[at(a, A, batch, transA ? k : m, transA ? m : k)]! * memory[at(b, B, batch, transB ? n : k, transB ? k : n)]!; // prettier-ignore
          const added = beta === 0 ? 0 : beta * memory[at(c, C, batch, m, n)]!;
          const bias = epilogue === EPILOGUE.bias ? memory[said.get(DESC.biasPointer)! / 4 + m]! : 0;
          memory[at(d, D, batch, m, n)] = alpha * sum + added + bias;
        }
  }

  return { handle: 0n, version: "emulated", call, make, attempt: () => 1 };
}
