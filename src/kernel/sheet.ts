// Kernels made to measure: a text whose axes follow from the shapes of a region's operands. The sheet collects the
// parameters, which operand each of them is, how it lies, and gives the body its loads and stores.
import { isFloat, type DType } from "../core/dtype.js";
import { contiguous, sizeOf, type Shape, type Strides } from "../core/shape.js";
import type { WinogradSize } from "./interpolation.js";
import { strided, type Layout, type Panels } from "../lower/layout.js";
import {
  kernel,
  trace,
  type At,
  type Axis,
  type Mode,
  type Tensor,
  type TileProgram,
  type Tracer,
} from "../tile/index.js";
import type { AxisSpec, TensorSpec, Tile } from "../tile/index.js";

export type AnyTracer = Tracer<string>;
export type Floats = Tile<"f32", string>;
export type Ints = Tile<"i32", string>;
type AnyTensor = Tensor<DType, string, Mode>;

/** An operand of the region, an input perhaps as its pack, or what lies further on in it. */
export type Source =
  | { readonly input: number; readonly offsetBytes?: number }
  | { readonly output: number; readonly offsetBytes?: number };

/** What a kernel leaves in the workspace for a later one of the same candidate, or what lies further on in it. */
export interface Temporary {
  readonly temporary: string;
  /** Of all of it. */
  readonly elements: number;
  readonly offsetBytes?: number;
}

export interface Parameter {
  readonly name: string;
  readonly source: Source | Temporary;
  readonly dtype: DType;
  readonly axes: readonly string[];
  readonly strides: Strides;
  readonly mode: Mode;
  /** Of a result that lies in several tensors: what each has of the parameter's `along`, in order. */
  readonly pieces?: { readonly along: string; readonly tensors: readonly Piece[] };
}

export interface Piece {
  readonly source: Source | Temporary;
  /** Positions along the axis that is dealt out. */
  readonly size: number;
  /** Over all axes of the parameter. */
  readonly strides: Strides;
}

/** A weight that the kernel reads in panels: the shape that is packed, with its strides inside the dense weight. */
export interface Packing {
  readonly input: number;
  readonly shape: Shape;
  readonly strides: Strides;
  readonly panels: Panels;
  /** 3×3 taps of this dtype, whose strides are the first two, become (size + 2)² transformed ones in f32 while they are packed. */
  readonly winograd?: { readonly size: WinogradSize; readonly taps: DType };
  /**
   * The weight's dtype where its rows become multiples of their largest magnitude / 127 in i16 while they are packed;
   * behind the panels, from the next cache line on, lie the rows' steps in f32.
   */
  readonly rounded?: DType;
}

/** A kernel for one region: everything but the schedule. */
export interface KernelForm {
  readonly program: TileProgram;
  readonly sizes: Readonly<Record<string, number>>;
  /** In the order of the program's parameters. */
  readonly parameters: readonly Parameter[];
  /** By parameter name. */
  readonly packings: Readonly<Record<string, Packing>>;
  /** Positions per block where the text is right for these alone; absent: for any. */
  readonly blocks?: Readonly<Record<string, number>>;
}

export type Places = Readonly<Record<string, At<Axis, Axis>>>;

/** What a body works with. */
export interface Body {
  readonly t: AnyTracer;
  /** A float operand in f32, at the places of its axes; axes without a place are whole. */
  floats(name: string, at: Places): Floats;
  ints(name: string, at: Places): Ints;
  /** Stores floats or integers in the parameter's type. */
  store(name: string, at: Places, value: Floats | Ints): void;
  has(name: string): boolean;
  /** The operand as it is, for dots. */
  raw(name: string, at: Places): Tile<DType, string>;
  axesOf(name: string): readonly string[];
}

export class Sheet {
  readonly #parameters: Parameter[] = [];
  readonly #packings: Record<string, Packing> = {};
  readonly #sizes: Record<string, number> = {};
  readonly #fixed = new Map<string, number>();
  readonly #blocks: Record<string, number> = {};

  /** Declares an axis; `fixed` sizes belong to the text. */
  axis(name: string, size: number, fixed = false): void {
    this.#sizes[name] = size;
    if (fixed) this.#fixed.set(name, size);
  }

  parameter(
    name: string,
    mode: Mode,
    source: Source | Temporary,
    dtype: DType,
    axes: readonly string[],
    strides: Strides,
    pieces?: Parameter["pieces"],
  ): void {
    this.#parameters.push({ name, mode, source, dtype, axes, strides, ...(pieces && { pieces }) });
  }

  /** Declares a dense parameter that lies in the workspace; its axes must have been declared. */
  temporary(name: string, mode: Mode, dtype: DType, axes: readonly string[]): void {
    const shape = axes.map((axis) => this.#sizes[axis]!);
    const source = { temporary: name, elements: sizeOf(shape) };
    this.#parameters.push({ name, mode, source, dtype, axes, strides: contiguous(shape) });
  }

  /** The text needs blocks of so many positions of an axis. */
  block(axis: string, positions: number): void {
    this.#blocks[axis] = positions;
  }

  pack(name: string, packing: Packing): void {
    this.#packings[name] = packing;
  }

  finish(name: string, body: (body: Body) => void): KernelForm {
    const specs: Record<string, TensorSpec | AxisSpec> = {};
    for (const { name: param, mode, dtype, axes } of this.#parameters)
      specs[param] = { kind: "tensor", mode, dtype, axes };
    for (const axis of Object.keys(this.#sizes))
      specs[`axis_${axis}`] = { kind: "axis", axis, size: this.#fixed.get(axis) ?? null };
    const text = kernel(name, specs, (t, bound) =>
      body(this.#body(t, bound as unknown as Readonly<Record<string, AnyTensor>>)),
    );
    return {
      program: trace(text),
      sizes: this.#sizes,
      parameters: this.#parameters,
      packings: this.#packings,
      ...(Object.keys(this.#blocks).length > 0 && { blocks: this.#blocks }),
    };
  }

  #body(t: AnyTracer, tensors: Readonly<Record<string, AnyTensor>>): Body {
    const of = (name: string): Parameter => this.#parameters.find((p) => p.name === name)!;
    const places = (name: string, at: Places): At<Axis, Axis>[] =>
      of(name).axes.flatMap((axis) => (at[axis] ? [at[axis]] : []));
    const raw = (name: string, at: Places): Tile<DType, string> =>
      t.load(tensors[name] as Tensor<DType, string, "in" | "inout">, ...places(name, at));
    return {
      t,
      raw,
      floats: (name, at) => raw(name, at).to("f32"),
      ints: (name, at) => raw(name, at).to("i32"),
      store(name, at, value) {
        const { dtype } = of(name);
        const tensor = tensors[name] as Tensor<DType, string, "out" | "inout">;
        t.store(tensor, places(name, at), (value as Tile<DType, string>).to(dtype));
      },
      has: (name) => tensors[name] !== undefined,
      axesOf: (name) => of(name).axes,
    };
  }
}

/** The layouts of a form's parameters, packed ones aside. */
export const layoutOf = (parameter: Parameter): Layout => strided(parameter.strides);

/** Those of all parameters, by name. */
export const layoutsOf = ({ parameters }: KernelForm): Readonly<Record<string, Layout>> =>
  Object.fromEntries(parameters.map((parameter) => [parameter.name, layoutOf(parameter)]));

export const isFloatType = isFloat;
