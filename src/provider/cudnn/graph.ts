// Graphs of the backend API: descriptors, the plans that the library's heuristic names for them, and running one.
import { TroupeError } from "../../core/error.js";
import type { Cudnn } from "./library.js";

/** Descriptor types, attribute types and attributes, by the numbers of the C header. */
const KIND = { engineConfig: 3, engineHeuristic: 4, plan: 5, graph: 15, pack: 16, tensor: 17 } as const;
const TYPE = { handle: 0, dtype: 1, boolean: 2, long: 3, heuristic: 8, pointer: 6, descriptor: 15 } as const;
const HEURISTIC_A = 3;

/** A value of an attribute: its type and the elements. */
export type Attribute = readonly [attribute: number, type: number, elements: NodeJS.ArrayBufferView & { readonly length: number }]; // prettier-ignore

export const longs = (attribute: number, ...values: readonly number[]): Attribute => [attribute, TYPE.long, BigInt64Array.from(values, BigInt)]; // prettier-ignore
export const descriptors = (attribute: number, ...values: readonly bigint[]): Attribute => [attribute, TYPE.descriptor, BigUint64Array.from(values)]; // prettier-ignore
export const dtypeAs = (attribute: number, dtype: number): Attribute => [attribute, TYPE.dtype, Int32Array.of(dtype)];
export const enumAs = (attribute: number, type: number, value: number): Attribute => [attribute, type, Int32Array.of(value)]; // prettier-ignore
export const float = (attribute: number, value: number): Attribute => [attribute, 4, Float32Array.of(value)];
const flag = (attribute: number, value: boolean): Attribute => [attribute, TYPE.boolean, Uint8Array.of(value ? 1 : 0)];

export interface TensorSpec {
  readonly uid: number;
  readonly dtype: number;
  readonly dims: readonly number[];
  readonly strides: readonly number[];
  /** A value between operations, in no memory. */
  readonly isVirtual?: boolean;
  /** A number of the host, given by its address there. */
  readonly isByValue?: boolean;
  readonly alignmentBytes?: number;
}

/** Descriptors made for one graph; all of them live until it is disposed. */
export class BackendGraph implements Disposable {
  readonly #made: bigint[] = [];

  constructor(readonly library: Cudnn) {}

  /** @throws TroupeError "provider" with the library's words when it does not take the attributes. */
  make(kind: number, ...attributes: readonly Attribute[]): bigint {
    const descriptor = this.create(kind);
    for (const [attribute, type, elements] of attributes)
      this.library.call("cudnnBackendSetAttribute", descriptor, attribute, type, elements.length, elements);
    this.library.call("cudnnBackendFinalize", descriptor);
    return descriptor;
  }

  create(kind: number): bigint {
    const out = new BigUint64Array(1);
    this.library.call("cudnnBackendCreateDescriptor", kind, out);
    this.#made.push(out[0]!);
    return out[0]!;
  }

  tensor({ uid, dtype, dims, strides, isVirtual, isByValue, alignmentBytes = 16 }: TensorSpec): bigint {
    const attributes = [dtypeAs(901, dtype), longs(902, ...dims), longs(903, ...strides), longs(906, uid), longs(900, alignmentBytes)]; // prettier-ignore
    if (isVirtual) attributes.push(flag(907, true));
    if (isByValue) attributes.push(flag(908, true));
    return this.make(KIND.tensor, ...attributes);
  }

  /** Engine configurations for operations, best first by the heuristic; empty where the library knows none. */
  configurations(operations: readonly bigint[]): readonly bigint[] {
    const graph = this.make(KIND.graph, descriptors(801, ...operations), [800, TYPE.handle, BigUint64Array.of(this.library.handle)]); // prettier-ignore
    const heuristic = this.make(KIND.engineHeuristic, descriptors(201, graph), enumAs(200, TYPE.heuristic, HEURISTIC_A)); // prettier-ignore
    const count = new BigInt64Array(1);
    this.library.call("cudnnBackendGetAttribute", heuristic, 202, TYPE.descriptor, 0, count, null);
    const configurations = BigUint64Array.from({ length: Number(count[0]) }, () => this.create(KIND.engineConfig));
    if (configurations.length > 0)
      this.library.call("cudnnBackendGetAttribute", heuristic, 202, TYPE.descriptor, configurations.length, count, configurations); // prettier-ignore
    return [...configurations].slice(0, Number(count[0]));
  }

  /** A configuration as a plan with its workspace; undefined where the library cannot build it. May compile. */
  plan(configuration: bigint): { readonly plan: bigint; readonly workspaceBytes: number } | undefined {
    try {
      const plan = this.make(KIND.plan, [400, TYPE.handle, BigUint64Array.of(this.library.handle)], descriptors(401, configuration)); // prettier-ignore
      const bytes = new BigInt64Array(1);
      this.library.call("cudnnBackendGetAttribute", plan, 402, TYPE.long, 1, new BigInt64Array(1), bytes);
      return { plan, workspaceBytes: Number(bytes[0]) };
    } catch (error) {
      if (error instanceof TroupeError) return undefined;
      throw error;
    }
  }

  /** The addresses of one run. */
  pack(uids: readonly number[], addresses: readonly bigint[], workspace: bigint): bigint {
    return this.make(
      KIND.pack,
      [1001, TYPE.pointer, BigUint64Array.from(addresses)],
      longs(1000, ...uids),
      [1003, TYPE.pointer, BigUint64Array.of(workspace)],
    ); // prettier-ignore
  }

  [Symbol.dispose](): void {
    for (const descriptor of this.#made.splice(0).toReversed())
      this.library.attempt("cudnnBackendDestroyDescriptor", descriptor);
  }
}
