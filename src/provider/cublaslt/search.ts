// Algorithms that cuBLASLt has for a product beyond those its heuristic names: every family, tile, depth of pipeline and
// cluster that the library calls valid, ordered by how full the last wave of the device is.
import type { CublasLt } from "./library.js";
import { Layouts, describe, COMPUTE_F32, SCALE_F32, TYPE, MOST_WORKSPACE_BYTES, RESULT_BYTES, ALGO_BYTES, type Alignments, type Algorithm } from "./product.js"; // prettier-ignore
import type { Form } from "./form.js";

const CAPABILITY = { tiles: 6, customMost: 7, stages: 13 } as const;
const CONFIG = { tile: 1, custom: 5, stages: 6, cluster: 8 } as const;
/** Left to the library, pairs along the rows, pairs along the columns. */
const CLUSTERS = [0, 3, 5];
const MOST_FAMILIES = 64;
const MOST_CUSTOM = 1;
const MOST_CHECKS = 20_000;

const int = (x: number): Int32Array => Int32Array.of(x);

interface Found extends Algorithm {
  /** Shares of full waves of the device. */
  readonly fullness: number;
  readonly family: number;
  readonly tile: number;
}

/** At most `most` algorithms that are not among `known`, of as many families and tiles as there are. */
export function searchAlgorithms(
  library: CublasLt,
  form: Form,
  alignments: Alignments,
  known: readonly Algorithm[],
  most: number,
): readonly Algorithm[] {
  using layouts = new Layouts(library, form);
  const desc = describe(library, form, BigInt(alignments.bias));
  const keys = new Set(known.map(({ bytes }) => keyOf(bytes)));
  const found: Found[] = [];
  let checks = 0;
  try {
    for (const family of familiesOf(library, form)) {
      const start = new Uint8Array(ALGO_BYTES);
      const types = typesOf(form);
      if (library.attempt("cublasLtMatmulAlgoInit", library.handle, COMPUTE_F32, SCALE_F32, ...types, family, start) !== 0) continue; // prettier-ignore
      const customs = Array.from({ length: 1 + Math.min(MOST_CUSTOM, oneOf(library, start, CAPABILITY.customMost)) }, (_, i) => i); // prettier-ignore
      for (const tile of listOf(library, start, CAPABILITY.tiles))
        for (const stages of listOf(library, start, CAPABILITY.stages))
          for (const cluster of CLUSTERS)
            for (const custom of customs) {
              if (++checks > MOST_CHECKS) break;
              const bytes = configured(library, start, { tile, stages, cluster, custom });
              const made = bytes && checked(library, desc, layouts, bytes);
              if (made && !keys.has(keyOf(made.bytes))) {
                keys.add(keyOf(made.bytes));
                found.push({ ...made, family, tile });
              }
            }
    }
  } finally {
    library.call("cublasLtMatmulDescDestroy", desc);
  }
  return spread(found, most);
}

const keyOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

const typesOf = ({ dtype, resultDtype = dtype }: Form): readonly number[] => [TYPE[dtype]!, TYPE[dtype]!, TYPE[resultDtype]!, TYPE[resultDtype]!]; // prettier-ignore

function familiesOf(library: CublasLt, form: Form): readonly number[] {
  const [ids, count] = [new Int32Array(MOST_FAMILIES), int(0)];
  const status = library.attempt("cublasLtMatmulAlgoGetIds", library.handle, COMPUTE_F32, SCALE_F32, ...typesOf(form), MOST_FAMILIES, ids, count); // prettier-ignore
  return status === 0 ? [...ids.subarray(0, count[0])] : [];
}

/** A capability that is a list; [0] where the family has no choice. */
function listOf(library: CublasLt, algorithm: Uint8Array, capability: number): readonly number[] {
  const bytes = new BigUint64Array(1);
  if (library.attempt("cublasLtMatmulAlgoCapGetAttribute", algorithm, capability, null, 0, bytes) !== 0) return [0];
  const list = new Uint32Array(Number(bytes[0]) / 4);
  if (list.length === 0) return [0];
  const status = library.attempt("cublasLtMatmulAlgoCapGetAttribute", algorithm, capability, list, list.byteLength, bytes); // prettier-ignore
  return status === 0 ? [...list] : [0];
}

function oneOf(library: CublasLt, algorithm: Uint8Array, capability: number): number {
  const value = int(0);
  const status = library.attempt("cublasLtMatmulAlgoCapGetAttribute", algorithm, capability, value, 4, new BigUint64Array(1)); // prettier-ignore
  return status === 0 ? value[0]! : 0;
}

interface Choice {
  readonly tile: number;
  readonly stages: number;
  readonly cluster: number;
  readonly custom: number;
}

function configured(library: CublasLt, start: Uint8Array, { tile, stages, cluster, custom }: Choice): Uint8Array | undefined {
  const bytes = start.slice();
  const set = (attribute: number, value: NodeJS.ArrayBufferView): boolean =>
    library.attempt("cublasLtMatmulAlgoConfigSetAttribute", bytes, attribute, value, value.byteLength) === 0;
  const done =
    set(CONFIG.tile, int(tile)) &&
    set(CONFIG.stages, int(stages)) &&
    set(CONFIG.custom, int(custom)) &&
    (cluster === 0 || set(CONFIG.cluster, Uint16Array.of(cluster)));
  return done ? bytes : undefined;
} // prettier-ignore

function checked(library: CublasLt, desc: bigint, { a, b, c, d }: Layouts, algorithm: Uint8Array): Omit<Found, "family" | "tile"> | undefined {
  const result = new Uint8Array(RESULT_BYTES);
  if (library.attempt("cublasLtMatmulAlgoCheck", library.handle, desc, a, b, c, d, algorithm, result) !== 0) return undefined;
  const view = new DataView(result.buffer);
  const [workspaceBytes, state, waves] = [Number(view.getBigUint64(64, true)), view.getInt32(72, true), view.getFloat32(76, true)];
  if (state !== 0 || workspaceBytes > MOST_WORKSPACE_BYTES) return undefined;
  // The check does not fill in the algorithm; what was checked is what runs.
  return { bytes: algorithm, workspaceBytes, fullness: waves > 0 ? waves / Math.ceil(waves) : 0 };
} // prettier-ignore

/** The fullest of each family and tile, then the next of each, until there are enough. */
function spread(found: readonly Found[], most: number): readonly Algorithm[] {
  const groups = new Map<string, Found[]>();
  for (const one of found.toSorted((a, b) => b.fullness - a.fullness)) {
    const key = `${one.family} ${one.tile}`;
    groups.set(key, [...(groups.get(key) ?? []), one]);
  }
  const out: Algorithm[] = [];
  for (let round = 0; out.length < Math.min(most, found.length); round++)
    for (const group of groups.values()) {
      const one = group[round];
      if (one && out.length < most) out.push({ bytes: one.bytes, workspaceBytes: one.workspaceBytes });
    }
  return out;
}
