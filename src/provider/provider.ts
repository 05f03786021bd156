// The contract of a provider: a source of kernels. One folder a provider; "cannot" is an ordinary answer with a reason;
// nothing throws to probe. The conformance suite (conformance.ts) belongs to this contract and every provider passes it.
import type { DType } from "../core/dtype.js";
import type { Address, Step, Target } from "../device/device.js";
import type { NodeId, Params } from "../graph/node.js";
import type { Region, Regions } from "../graph/region.js";

export interface Cannot {
  readonly cannot: string;
}

/** Dims from outermost to innermost in memory, of a dense tensor; undefined: as the operand lies by default. */
export type Layout = readonly number[] | undefined;

/** A weight kept in another form, made once when a plan is loaded. Equal input tensor and recipe: one pack serves all. */
export interface Pack {
  /** Index of the region's input, of kind "weight" or "constant". */
  readonly input: number;
  /** Names the form, e.g. "panel64" or "dnnl:AB16b64a"; part of the key. */
  readonly recipe: string;
  readonly bytes: number;
}

/** What a plan stores of a candidate: enough for `revive`. */
export interface Choice {
  readonly provider: string;
  /** Stable within the provider, for people and records: "linear 6x64 k256", "ACL:gemm". */
  readonly id: string;
  readonly params: Params;
}

/** Memory that a library does not leave to its caller. */
export interface OwnMemory {
  /** Its own form of the weights, kept as long as the kernel. */
  readonly weightsBytes: number;
  /** The most it takes while it runs; kept, and shared by all kernels of the library. */
  readonly scratchBytes: number;
}

/** How a candidate deals out a product: what its time at sizes never tried follows from. */
export interface Tiling {
  /** What one program computes, and how many terms it sums at a stretch. */
  readonly program: { readonly rows: number; readonly columns: number; readonly terms: number };
  /** The part of a program's result that registers hold. */
  readonly block: { readonly rows: number; readonly columns: number };
  /** Whether a program copies its rows before it uses them. */
  readonly copiesRows: boolean;
}

/** One way to compute a region. */
export interface Candidate extends Choice {
  /** Per input and output of the region; undefined entries lie by default. */
  readonly layouts: { readonly inputs: readonly Layout[]; readonly outputs: readonly Layout[] };
  /** Output `output` may lie where input `input` lay, if that dies here. */
  readonly aliases: readonly { readonly output: number; readonly input: number }[];
  readonly packs: readonly Pack[];
  readonly workspaceBytes: number;
  /** What its library keeps for itself beside these, as far as can be told; absent: nothing worth telling. */
  readonly own?: OwnMemory;
  /** What products are summed in: the class its tolerance follows from. */
  readonly accumulation: DType;
  /** Whether the device may record it into a capture. */
  readonly capturable: boolean;
  /**
   * What it shares with the provider's other candidates that differ from it in blocking alone. Where time is short the
   * first of a method stands for the others until it has been timed. Absent: it stands for itself.
   */
  readonly method?: string;
  /** Microseconds by the provider's own model, for choosing where nothing is measured. */
  readonly estimateUs?: number;
  /** Of products, where the provider knows it. */
  readonly tiling?: Tiling;
  /**
   * Of simple make, each op as its definition says and sums in f32: where the host is too slow for a reference, others
   * are compared with these, which conformance compares with float64.
   */
  readonly isPlain?: boolean;
  /** Does aside what `build` will need and what is kept from one process to the next: compiling into the cache. */
  warm?(): Promise<unknown>;
  /** Compiles or creates it. Slow work goes here; throws TroupeError("compile" | "provider"). */
  build(signal?: AbortSignal): Promise<Kernel>;
}

/** A candidate as far as its time is foretold: what it shares with others of its provider, and how it deals out a product. */
export interface Way {
  /** Its method, or its id where it has none. */
  readonly method: string;
  readonly tiling?: Tiling;
}

/** Where the operands of one use of a kernel lie. Packed inputs are given by their pack's address. */
export interface Binding {
  readonly inputs: readonly Address[];
  readonly outputs: readonly Address[];
  readonly workspace: Address;
}

/** A built candidate; may be bound many times. */
export interface Kernel {
  /** Writes pack `index` of the candidate from the tensor at `from`, dense row-major. */
  pack(index: number, from: Address, to: Address): void;
  /**
   * The steps for these addresses. Weights, constants and packs are in place already, so a library may prepare its own
   * form of them here. What the steps point to lives until the kernel is disposed.
   */
  bind(binding: Binding): readonly Step[];
  dispose(): void;
}

export interface Provider {
  readonly name: string;
  /** Of the library or generator, as precise as it tells; records of another version are void. */
  readonly version: string;
  /** Node sets it would like to do as one; the core adds single ops and trait-based chains. */
  patterns(regions: Regions): Iterable<readonly NodeId[]>;
  candidates(region: Region, effort: Effort): readonly Candidate[] | Cannot;
  /**
   * What `candidates` offers at full effort for this product of a weight, in that order, if it had another number of rows;
   * told in microseconds, for tables over rows. Absent: the same for all numbers of one magnitude (2^n … 2^(n+1) - 1).
   */
  waysAt?(region: Region): (rows: number) => readonly Way[];
  /** Rebuilds what `candidates` once returned, without asking again. */
  revive(region: Region, choice: Choice): Candidate | Cannot;
  dispose(): void;
}

/** How many candidates to offer: the default one, a handful, or the whole space. */
export type Effort = "none" | "quick" | "full";

/** A folder's entry: finds its library and opens the provider, or says why not. */
export interface ProviderFactory {
  readonly name: string;
  open(target: Target): Promise<Provider | Cannot>;
}

export const isCannot = (answer: object): answer is Cannot => "cannot" in answer;
