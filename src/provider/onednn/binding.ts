// oneDNN 2 primitives: descriptors in, a primitive out, and each execution a call of machine words.
// A Primitive knows its packed weights' layout and scratchpad size; the caller owns all tensor memory.
import type { Shape, Strides } from "../../core/shape.js";
import { TroupeError } from "../../core/error.js";
import { type Cannot, type Found, isCannot } from "../../device/native/found.js";
import { stringAt } from "../../device/native/library.js";
import { openOpenMp } from "../../device/native/openmp.js";
import { NativeScope } from "../../device/native/scope.js";
import { wordFunction, asInt32 } from "../../device/native/words.js";
import {
  ARG, BINARY, CONVOLUTION, DATA_TYPE, ELTWISE, ENGINE_CPU, FORMAT_ANY, FORWARD_INFERENCE, MAX_DIMS,
  MEMORY_DESC_BYTES, NORM_USE_SCALE, NORM_USE_SHIFT, OP_DESC_BYTES, QUERY, RESAMPLING_NEAREST, SCRATCHPAD_USER,
  SOFTMAX_ACCURATE, STATUS, STREAM_IN_ORDER, UNIMPLEMENTED, postOpArg,
  type BinaryKind, type DnnDType, type EltwiseKind,
} from "./constants.js"; // prettier-ignore
import { showLayout } from "./layout.js";
import { type OneDnnLibrary, openOneDnn } from "./library.js";

/** A tensor as oneDNN sees it. `"any"` lets the primitive choose the layout. Strides count elements. */
export interface Tensor {
  readonly dims: Shape;
  readonly dtype: DnnDType;
  readonly strides: Strides | "any";
}

/** A descriptor that a primitive chose, for packing into. */
export interface Packed {
  readonly descriptor: bigint;
  readonly bytes: number;
  /** Equal for equal layouts, in any process: "bf16[256, 1024] 16384.64 16b64a2b". */
  readonly layout: string;
}

export type PostOp =
  | { readonly kind: "eltwise"; readonly function: EltwiseKind; readonly alpha?: number; readonly beta?: number }
  /** dst = result + dst: the residual lies where the result will. */
  | { readonly kind: "sum" }
  | { readonly kind: "binary"; readonly function: BinaryKind; readonly with: Tensor };

/**
 * A primitive that oneDNN has. Code is generated at the first use of `create` or `words`, which is slow (milliseconds).
 * Disposal destroys it; executions made from it must have ended.
 */
export interface Primitive extends Disposable {
  /** oneDNN's name of the implementation: "brgemm:avx512_core". */
  readonly implementation: string;
  readonly scratchpadBytes: number;
  /** The layout that `"any"` became. */
  packed(which: "src" | "weights" | "dst"): Packed;
  /** Generates the code. @throws TroupeError "provider" */
  create(): void;
  /** The words of one execution; argument numbers are those of ARG and postOpArg. */
  words(scope: NativeScope, memories: ReadonlyMap<number, bigint>): readonly bigint[];
}

interface Made {
  readonly descriptors: ReadonlyMap<number, bigint>;
  readonly scope: NativeScope;
}

export class OneDnn implements Disposable {
  readonly #scope = new NativeScope();
  /** Primitives made within `attempt`. */
  #made: Primitive[] | undefined;
  readonly #engine: bigint;
  readonly #stream: bigint;
  readonly #openMp = openOpenMp();

  private constructor(private readonly dnn: OneDnnLibrary) {
    const engine = this.#scope.cell();
    this.#check(dnn.call.dnnl_engine_create(engine.address, ENGINE_CPU, 0), "creating an engine");
    this.#engine = engine.get();
    this.#scope.defer(() => dnn.call.dnnl_engine_destroy(this.#engine));
    const stream = this.#scope.cell();
    this.#check(dnn.call.dnnl_stream_create(stream.address, this.#engine, STREAM_IN_ORDER), "creating a stream");
    this.#stream = stream.get();
    this.#scope.defer(() => dnn.call.dnnl_stream_destroy(this.#stream));
  }

  /** Opens the library found on this machine. */
  static open(files?: readonly string[]): Found<OneDnn> {
    const dnn = openOneDnn(files);
    return isCannot(dnn) ? dnn : new OneDnn(dnn);
  }

  get version(): string {
    return this.dnn.version;
  }

  /** The instruction set that it generates code for; the environment may keep it below the CPU's. */
  get isa(): number {
    return Number(this.dnn.call.dnnl_get_effective_cpu_isa());
  }

  get path(): string {
    return this.dnn.library.path;
  }

  /** The function of every step; it must return 0 in its low 32 bits. */
  get execute(): bigint {
    return this.dnn.execute;
  }

  [Symbol.dispose](): void {
    this.#scope.dispose();
  }

  /** What `make` makes; when it gives up, the primitives that it had made by then are destroyed. */
  attempt<T extends object>(make: () => T | Cannot): T | Cannot {
    const made: Primitive[] = [];
    this.#made = made;
    try {
      const answer = make();
      if (isCannot(answer)) for (const primitive of made) primitive[Symbol.dispose]();
      return answer;
    } finally {
      this.#made = undefined;
    }
  }

  /** dst[…, m, n] = src[…, m, k] · weights[…, k, n] (+ bias[…, 1, n]), then the post-ops. */
  matmul(spec: {
    readonly src: Tensor;
    readonly weights: Tensor;
    readonly bias?: Tensor;
    readonly dst: Tensor;
    readonly scale?: number;
    readonly postOps?: readonly PostOp[];
  }): Found<Primitive> {
    return this.#primitive("matmul", spec.postOps ?? [], spec.scale, (scope, op) => {
      const src = this.#descriptor(scope, spec.src);
      const weights = this.#descriptor(scope, spec.weights);
      const bias = spec.bias ? this.#descriptor(scope, spec.bias) : null;
      const dst = this.#descriptor(scope, spec.dst);
      const status = this.dnn.call.dnnl_matmul_desc_init(op, src, weights, bias, dst);
      return { status, args: [[ARG.src, src], [ARG.weights, weights], [ARG.bias, bias], [ARG.dst, dst]] }; // prettier-ignore
    });
  }

  /** 2-D convolution over [n, c, h, w] dims (any layout), weights [o, c, kh, kw], bias [o]. */
  convolution(spec: {
    readonly src: Tensor;
    readonly weights: Tensor;
    readonly bias?: Tensor;
    readonly dst: Tensor;
    readonly strides: readonly [number, number];
    readonly padding: { readonly low: readonly [number, number]; readonly high: readonly [number, number] };
    readonly algorithm: keyof typeof CONVOLUTION;
    readonly postOps?: readonly PostOp[];
  }): Found<Primitive> {
    return this.#primitive("convolution", spec.postOps ?? [], undefined, (scope, op) => {
      const src = this.#descriptor(scope, spec.src);
      const weights = this.#descriptor(scope, spec.weights);
      const bias = spec.bias ? this.#descriptor(scope, spec.bias) : null;
      const dst = this.#descriptor(scope, spec.dst);
      const { low, high } = spec.padding;
      const status = this.dnn.call.dnnl_convolution_forward_desc_init(
        op, FORWARD_INFERENCE, CONVOLUTION[spec.algorithm], src, weights, bias, dst, dims(spec.strides), dims(low), dims(high),
      ); // prettier-ignore
      return { status, args: [[ARG.src, src], [ARG.weights, weights], [ARG.bias, bias], [ARG.dst, dst]] }; // prettier-ignore
    });
  }

  softmax(spec: { readonly src: Tensor; readonly dst: Tensor; readonly axis: number }): Found<Primitive> {
    return this.#primitive("softmax", [], undefined, (scope, op) => {
      const src = this.#descriptor(scope, spec.src);
      const dst = this.#descriptor(scope, spec.dst);
      const status = this.dnn.call.dnnl_softmax_v2_forward_desc_init(
        op, FORWARD_INFERENCE, SOFTMAX_ACCURATE, src, dst, spec.axis,
      ); // prettier-ignore
      return { status, args: [[ARG.src, src], [ARG.dst, dst]] }; // prettier-ignore
    });
  }

  /** Over the last dim; scale and shift are f32 vectors. Source and result share one layout. */
  layerNorm(spec: {
    readonly data: Tensor;
    readonly epsilon: number;
    readonly scale: boolean;
    readonly shift: boolean;
  }): Found<Primitive> {
    return this.#primitive("layer normalization", [], undefined, (scope, op) => {
      const data = this.#descriptor(scope, spec.data);
      const vector = this.#descriptor(scope, { dims: spec.data.dims.slice(-1), dtype: "f32", strides: [1] });
      const flags = (spec.scale ? NORM_USE_SCALE : 0) | (spec.shift ? NORM_USE_SHIFT : 0);
      const status = this.dnn.call.dnnl_layer_normalization_forward_desc_init(
        op, FORWARD_INFERENCE, data, null, spec.epsilon, flags,
      ); // prettier-ignore
      return { status, args: [[ARG.src, data], [ARG.dst, data], [ARG.scale, vector], [ARG.shift, vector]] }; // prettier-ignore
    });
  }

  /** Source and result share one layout and may be one buffer. */
  eltwise(spec: {
    readonly data: Tensor;
    readonly function: EltwiseKind;
    readonly alpha?: number;
    readonly beta?: number;
  }): Found<Primitive> {
    return this.#primitive(`eltwise ${spec.function}`, [], undefined, (scope, op) => {
      const data = this.#descriptor(scope, spec.data);
      const status = this.dnn.call.dnnl_eltwise_forward_desc_init(
        op, FORWARD_INFERENCE, ELTWISE[spec.function], data, spec.alpha ?? defaultAlpha(spec.function), spec.beta ?? 0,
      ); // prettier-ignore
      return { status, args: [[ARG.src, data], [ARG.dst, data]] }; // prettier-ignore
    });
  }

  /** dst = src ∘ src1; dims of src1 may be 1 to broadcast. */
  binary(spec: {
    readonly src: Tensor;
    readonly src1: Tensor;
    readonly dst: Tensor;
    readonly function: BinaryKind;
    readonly postOps?: readonly PostOp[];
  }): Found<Primitive> {
    return this.#primitive(`binary ${spec.function}`, spec.postOps ?? [], undefined, (scope, op) => {
      const src = this.#descriptor(scope, spec.src);
      const src1 = this.#descriptor(scope, spec.src1);
      const dst = this.#descriptor(scope, spec.dst);
      const status = this.dnn.call.dnnl_binary_desc_init(op, BINARY[spec.function], src, src1, dst);
      return { status, args: [[ARG.src, src], [ARG.src1, src1], [ARG.dst, dst]] }; // prettier-ignore
    });
  }

  /** Nearest-neighbour resampling of [n, c, h, w]; the factors follow from the dims. */
  upsampleNearest(spec: { readonly src: Tensor; readonly dst: Tensor }): Found<Primitive> {
    return this.#primitive("resampling", [], undefined, (scope, op) => {
      const src = this.#descriptor(scope, spec.src);
      const dst = this.#descriptor(scope, spec.dst);
      const status = this.dnn.call.dnnl_resampling_forward_desc_init(
        op, FORWARD_INFERENCE, RESAMPLING_NEAREST, null, src, dst,
      ); // prettier-ignore
      return { status, args: [[ARG.src, src], [ARG.dst, dst]] }; // prettier-ignore
    });
  }

  /** A copy between layouts and dtypes; either side may be a layout that another primitive chose. */
  reorder(src: Tensor | Packed, dst: Tensor | Packed): Found<Primitive> {
    const scope = new NativeScope();
    const [from, to] = [src, dst].map((t) => ("descriptor" in t ? t.descriptor : this.#descriptor(scope, t))) as [bigint, bigint]; // prettier-ignore
    const attributes = this.#attributes(scope, [], undefined);
    const created = scope.cell();
    const status = this.dnn.call.dnnl_reorder_primitive_desc_create(
      created.address, from, this.#engine, to, this.#engine, attributes,
    ); // prettier-ignore
    const descriptors = new Map([[ARG.src, from], [ARG.dst, to]] as const); // prettier-ignore
    return this.#finish("reorder", status, created.get(), { descriptors, scope });
  }

  /** Runs a primitive at once on this thread: for packing and tests. Plans run it as a step. */
  run(primitive: Primitive, memories: ReadonlyMap<number, bigint>): void {
    using scope = new NativeScope();
    const words = primitive.words(scope, memories);
    this.#check(asInt32(wordFunction(this.execute, words.length)(...words)), `running ${primitive.implementation}`);
    if (!isCannot(this.#openMp)) this.#openMp.endTeam();
  }

  #descriptor(scope: NativeScope, tensor: Tensor): bigint {
    const { address } = scope.bytes(MEMORY_DESC_BYTES);
    const rank = tensor.dims.length;
    if (rank > MAX_DIMS) throw new TroupeError("internal", `oneDNN has at most ${MAX_DIMS} dims, not ${rank}`);
    const dtype = DATA_TYPE[tensor.dtype];
    const status =
      tensor.strides === "any"
        ? this.dnn.call.dnnl_memory_desc_init_by_tag(address, rank, dims(tensor.dims), dtype, FORMAT_ANY)
        : this.dnn.call.dnnl_memory_desc_init_by_strides(address, rank, dims(tensor.dims), dtype, dims(tensor.strides));
    this.#check(status, `describing a tensor of [${tensor.dims.join(", ")}]`);
    return address;
  }

  #attributes(scope: NativeScope, postOps: readonly PostOp[], scale: number | undefined): bigint {
    const cell = scope.cell();
    this.#check(this.dnn.call.dnnl_primitive_attr_create(cell.address), "creating attributes");
    const attributes = cell.get();
    scope.defer(() => this.dnn.call.dnnl_primitive_attr_destroy(attributes));
    this.#check(this.dnn.call.dnnl_primitive_attr_set_scratchpad_mode(attributes, SCRATCHPAD_USER), "scratchpad mode");
    if (scale !== undefined) {
      const scales = scope.floats([scale]);
      this.#check(this.dnn.call.dnnl_primitive_attr_set_output_scales(attributes, 1, 0, scales), "scaling");
    }
    if (postOps.length === 0) return attributes;
    const list = scope.cell();
    this.#check(this.dnn.call.dnnl_post_ops_create(list.address), "creating post-ops");
    for (const op of postOps) this.#check(this.#append(scope, list.get(), op), `adding the post-op ${op.kind}`);
    this.#check(this.dnn.call.dnnl_primitive_attr_set_post_ops(attributes, list.get()), "setting post-ops");
    this.dnn.call.dnnl_post_ops_destroy(list.get());
    return attributes;
  }

  #append(scope: NativeScope, list: bigint, op: PostOp): number {
    switch (op.kind) {
      case "sum":
        return this.dnn.call.dnnl_post_ops_append_sum(list, 1);
      case "eltwise": {
        const { alpha = defaultAlpha(op.function), beta = 0 } = op;
        return this.dnn.call.dnnl_post_ops_append_eltwise(list, 1, ELTWISE[op.function], alpha, beta);
      }
      case "binary":
        return this.dnn.call.dnnl_post_ops_append_binary(list, BINARY[op.function], this.#descriptor(scope, op.with));
      default:
        return op satisfies never;
    }
  }

  #primitive(
    name: string,
    postOps: readonly PostOp[],
    scale: number | undefined,
    describe: (
      scope: NativeScope,
      op: bigint,
    ) => { readonly status: number; readonly args: readonly (readonly [number, bigint | null])[] },
  ): Found<Primitive> {
    const scope = new NativeScope();
    const op = scope.bytes(OP_DESC_BYTES).address;
    const described = describe(scope, op);
    if (described.status !== 0) return this.#refused(name, described.status, scope);
    const attributes = this.#attributes(scope, postOps, scale);
    const created = scope.cell();
    const status = this.dnn.call.dnnl_primitive_desc_create(created.address, op, attributes, this.#engine, null);
    const descriptors = new Map<number, bigint>();
    for (const [arg, descriptor] of described.args) if (descriptor !== null) descriptors.set(arg, descriptor);
    postOps.forEach((post, i) => {
      if (post.kind === "binary") descriptors.set(postOpArg(i), this.#descriptor(scope, post.with));
    });
    return this.#finish(name, status, created.get(), { descriptors, scope });
  }

  #finish(name: string, status: number, description: bigint, made: Made): Found<Primitive> {
    const { scope, descriptors } = made;
    if (status !== 0) return this.#refused(name, status, scope);
    const { call } = this.dnn;
    scope.defer(() => call.dnnl_primitive_desc_destroy(description));
    const text = scope.cell();
    call.dnnl_primitive_desc_query(description, QUERY.impl, 0, text.address);
    const implementation = stringAt(text.get());
    const chosen = new Map(descriptors);
    for (const which of ["src", "weights", "dst"] as const) {
      const descriptor = call.dnnl_primitive_desc_query_md(description, QUERY[which], 0);
      if (descriptor !== 0n && chosen.has(ARG[which])) chosen.set(ARG[which], descriptor);
    }
    const scratchpad = call.dnnl_primitive_desc_query_md(description, QUERY.scratchpad, 0);
    const scratchpadBytes = scratchpad === 0n ? 0 : call.dnnl_memory_desc_get_size(scratchpad);
    if (scratchpadBytes > 0) chosen.set(ARG.scratchpad, scratchpad);
    let primitive: bigint | undefined;
    const create = (): bigint => {
      if (primitive !== undefined) return primitive;
      const created = scope.cell();
      this.#check(call.dnnl_primitive_create(created.address, description), `creating ${name} ${implementation}`);
      scope.defer(() => call.dnnl_primitive_destroy(created.get()));
      return (primitive = created.get());
    };
    const result: Primitive = {
      implementation,
      scratchpadBytes,
      packed: (which) => {
        const descriptor = chosen.get(ARG[which]);
        if (descriptor === undefined) throw new TroupeError("internal", `oneDNN ${name} has no ${which}`);
        return { descriptor, bytes: call.dnnl_memory_desc_get_size(descriptor), layout: showLayout(descriptor) };
      },
      create: () => void create(),
      words: (where, memories) => this.#words(where, name, create(), chosen, memories),
      [Symbol.dispose]: () => scope.dispose(),
    };
    this.#made?.push(result);
    return result;
  }

  #words(
    scope: NativeScope,
    name: string,
    primitive: bigint,
    descriptors: ReadonlyMap<number, bigint>,
    memories: ReadonlyMap<number, bigint>,
  ): readonly bigint[] {
    const rows = [...memories].map(([arg, address]) => {
      const descriptor = descriptors.get(arg);
      if (descriptor === undefined) throw new TroupeError("internal", `oneDNN ${name} takes no argument ${arg}`);
      const memory = scope.cell();
      const status = this.dnn.call.dnnl_memory_create(memory.address, descriptor, this.#engine, address);
      this.#check(status, `wrapping argument ${arg} of ${name}`);
      scope.defer(() => this.dnn.call.dnnl_memory_destroy(memory.get()));
      return [{ i32: arg }, { pointer: memory.get() }] as const;
    });
    return [primitive, this.#stream, BigInt(rows.length), scope.structs(rows)];
  }

  #refused(name: string, status: number, scope: NativeScope): Cannot {
    scope.dispose();
    const reason =
      status === UNIMPLEMENTED
        ? `has no ${name} for these dtypes, layouts and post-ops on this CPU`
        : `refuses this ${name}: ${statusText(status)}`;
    return { cannot: `oneDNN ${this.version} ${reason}` };
  }

  #check(status: number, what: string): void {
    if (status === 0) return;
    throw new TroupeError("provider", `oneDNN ${this.dnn.version} failed at ${what}: ${statusText(status)}`);
  }
}

const statusText = (status: number): string => STATUS[status] ?? `status ${status}`;

const dims = (values: readonly number[]): BigInt64Array => BigInt64Array.from(values, BigInt);

/** The parameter that makes the function the plain one: swish(x) = x·sigmoid(1·x), linear(x) = 1·x + β. */
const defaultAlpha = (name: EltwiseKind): number => (name === "swish" || name === "linear" ? 1 : 0);
