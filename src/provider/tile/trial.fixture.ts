// A region's operands in host memory, with random numbers, and what its ops make of them in float64: how kernels that run
// on the processor are tried in tests.
import koffi from "koffi";
import { scalarEngine } from "../../check/dense/product.js";
import { acceptedError, regionReference } from "../../check/region-reference.js";
import { rowError } from "../../check/row-error.js";
import { dtypeBytes, readElement, roundTo, writeElement, type DType } from "../../core/dtype.js";
import { fillNormal } from "../../core/philox.js";
import { coordinateOf, offsetOf, sizeOf, type Shape } from "../../core/shape.js";
import type { ValueId } from "../../graph/node.js";
import type { RefTensor } from "../../graph/op.js";
import type { Region } from "../../graph/region.js";
import { layoutsOf, type KernelForm, type Source, type Temporary } from "../../kernel/sheet.js";
import type { Located, Task } from "../../kernel/task.js";
import type { BlockProgram } from "../../lower/cuda/block-program.js";
import { lowerToBlock } from "../../lower/cuda/general.js";
import { packed, type HostPack } from "../native/host-pack.js";
import { stagesOf } from "./cuda-stages.js";

export function lowered(task: Task): readonly BlockProgram[] {
  return stagesOf(task).map(({ form, ...schedule }) => {
    const layouts = layoutsOf(form);
    const alignments = Object.fromEntries(form.parameters.map(({ name }) => [name, 2]));
    return lowerToBlock(form.program, { sizes: form.sizes, layouts, alignments }, schedule, 132);
  });
}

export class RegionTrial {
  readonly accepted: number;
  readonly #inputs: readonly Uint8Array[];
  readonly #outputs: readonly { readonly located: Located; readonly bytes: Uint8Array; readonly want: Float64Array }[];
  readonly #inside: (value: ValueId) => Float64Array;
  readonly #temporaries = new Map<string, Uint8Array>();

  constructor(region: Region, task: Task, packs: readonly HostPack[]) {
    const values = new Map<ValueId, RefTensor>();
    const { norm } = task;
    const operands = [task, ...(norm ? [norm] : [])].flatMap(({ inputs, links }) => [...inputs, ...links.flatMap(({ other }) => other ?? [])]); // prettier-ignore
    this.#inputs = region.inputs.map(({ value, shape, dtype }, input) => {
      const data = new Float64Array(sizeOf(shape));
      fillNormal(data, input + 1, 0);
      const tensor = { dtype, shape, data: data.map((number) => roundTo(dtype, number)) };
      values.set(value, tensor);
      const pack = packs.find((own) => own.input === input);
      return pack
        ? aligned(bytesOf(packed(pack, bitsOf(dtype, tensor.data))))
        : laid(tensor.data, operands.find(({ source }) => "input" in source && source.input === input)!);
    });
    const { exact, plainError } = regionReference(region, values, scalarEngine);
    this.#inside = (value) => {
      const made = region.nodes.slice(0, 1 + region.nodes.findIndex(({ outputs }) => outputs[0] === value));
      const operand = { ...region.outputs[0]!, value, shape: region.graph.values[value]!.shape };
      return regionReference({ ...region, nodes: made, outputs: [operand] }, values, scalarEngine).exact.get(value)!.data; // prettier-ignore
    };
    this.accepted = acceptedError(region, "f32", plainError);
    this.#outputs = region.outputs.map(({ value }, output) => {
      const located = [task.output, ...(norm ? [norm.output] : [])].find(({ source }) => "output" in source && source.output === output)!; // prettier-ignore
      return { located, bytes: laid(new Float64Array(sizeOf(located.shape)).fill(Number.NaN), located), want: exact.get(value)!.data }; // prettier-ignore
    });
  } // prettier-ignore

  /** What lies at a parameter's place. */
  at(source: Source | Temporary): Uint8Array {
    return this.#memoryOf(source).subarray(source.offsetBytes ?? 0);
  }

  addressOf = (source: Source | Temporary): bigint => BigInt(koffi.address(this.at(source)));

  memoryOf(form: KernelForm): readonly Uint8Array[] {
    return form.parameters.map(({ source }) => this.at(source));
  }

  temporary(name: string): Float32Array {
    const { buffer, byteOffset, byteLength } = this.#temporaries.get(name)!;
    return new Float32Array(buffer, byteOffset, byteLength / 4);
  }

  /** A value that is made inside the region, in float64, dense. */
  inside(value: ValueId): Float64Array {
    return this.#inside(value);
  }

  /** Bits of all results. */
  bits(): string {
    return this.#outputs.map(({ bytes }) => Buffer.from(bytes).toString("base64")).join();
  }

  /** Largest error of a row of any result. */
  error(): number {
    return Math.max(...this.#outputs.map(({ located, bytes, want }) => rowError(read(bytes, located), want, located.shape).error)); // prettier-ignore
  }

  #memoryOf(source: Source | Temporary): Uint8Array {
    if ("input" in source) return this.#inputs[source.input]!;
    if ("output" in source) return this.#outputs[source.output]!.bytes;
    const known = this.#temporaries.get(source.temporary) ?? aligned(new Uint8Array(source.elements * 4).fill(0xff));
    this.#temporaries.set(source.temporary, known);
    return known;
  }
}

/** Dense elements of a weight as bits. */
export function bitsOf(dtype: DType, data: ArrayLike<number>): Uint16Array | Uint32Array {
  const bits = dtypeBytes(dtype) === 2 ? new Uint16Array(data.length) : new Uint32Array(data.length);
  const view = new DataView(bits.buffer);
  for (let i = 0; i < data.length; i++) writeElement(view, dtype, i, data[i]!);
  return bits;
}

const bytesOf = ({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array => new Uint8Array(buffer, byteOffset, byteLength); // prettier-ignore

/** A copy at an address that is a multiple of 64. */
function aligned(bytes: Uint8Array): Uint8Array {
  const room = new Uint8Array(bytes.length + 64);
  const copy = room.subarray(Number((64n - (BigInt(koffi.address(room)) % 64n)) % 64n)).subarray(0, bytes.length);
  copy.set(bytes);
  return copy;
}

function each({ shape, strides }: { readonly shape: Shape; readonly strides: readonly number[] }, visit: (at: number, i: number) => void): void {
  for (let i = 0; i < sizeOf(shape); i++) visit(offsetOf(coordinateOf(i, shape), strides), i);
} // prettier-ignore

function laid(data: Float64Array, located: Located): Uint8Array {
  const view = new DataView(new ArrayBuffer(data.length * dtypeBytes(located.dtype)));
  each(located, (at, i) => writeElement(view, located.dtype, at, data[i]!));
  return aligned(bytesOf(view));
}

function read(bytes: Uint8Array, located: Located): Float64Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const data = new Float64Array(sizeOf(located.shape));
  each(located, (at, i) => (data[i] = readElement(view, located.dtype, at)));
  return data;
}
