// How the threads of a block go through the elements of a step, as CUDA: the loops, the coordinates, the lanes of a thread.
import { dtypeBytes, type DType } from "../../core/dtype.js";
import { TroupeError } from "../../core/error.js";
import { firstOf, laneOf, strideOf, unitsOf, type BlockProgram, type BlockStmt, type Lanes, type Walk } from "../../lower/cuda/block-program.js"; // prettier-ignore
import type { Expr, Stmt } from "../../lower/thread.js";
import { expressionText, narrowedText, scalarText, storageText } from "./general-expr.js";

/** Passes whose reads may be under way at once, and the bytes that a thread should have under way where it has the registers. */
const UNROLLED = 4;
const MOST_UNROLLED = 8;
const BYTES_UNDER_WAY = 64;

/** Lines of a kernel, and what opens and closes the loops in them. */
export class WalkWriter {
  readonly #lines: string[] = [];
  readonly types: Map<string, DType>;
  readonly threads: number;

  constructor(program: BlockProgram) {
    this.types = new Map(program.buffers.map(({ name, dtype }) => [name, dtype]));
    this.threads = program.threads;
    for (const { name, buffer } of widesIn(program.body)) this.types.set(name, this.types.get(buffer)!);
  }

  get text(): string {
    return `${this.#lines.join("\n")}\n`;
  }

  line(depth: number, text: string): void {
    this.#lines.push(`${"  ".repeat(depth)}${text}`);
  }

  of(x: Expr): string {
    return expressionText(x, this.types);
  }

  define(name: string, value: Expr, depth: number): void {
    this.line(depth, `const ${scalarText(value.type)} ${name} = ${this.of(value)};`);
  }

  barrier(depth: number): void {
    this.line(depth, this.threads > 32 ? "__syncthreads();" : "__syncwarp();");
  }

  close(depths: number, depth: number): void {
    for (let i = 1; i <= depths; i++) this.line(depth - i, "}");
  }

  /** Opens a loop over units, from `first` in steps of `step`; two braces. */
  open(walks: readonly Walk[], width: number, first: string, step: string, stem: string, depth: number): number {
    if (width > 1) this.line(depth, `#pragma unroll ${UNROLLED}`);
    this.line(depth, `for (t_index ${stem} = ${first}; ${stem} < ${unitsOf(walks, width)}; ${stem} += ${step}) {`);
    this.#coordinates(walks, width, stem, depth + 1);
    return this.#guarded(walks, depth + 1);
  }

  /** The same for all threads by turns, where they keep what they read: every pass has a number; two braces. */
  openPasses(walks: readonly Walk[], width: number, stem: string, depth: number): number {
    const units = unitsOf(walks, width);
    this.line(depth, "#pragma unroll");
    this.line(depth, `for (int pass = 0; pass < ${Math.ceil(units / this.threads)}; pass++) {`);
    this.line(depth + 1, `const t_index ${stem} = thread + pass * ${this.threads};`);
    if (units % this.threads !== 0) this.line(depth + 1, `if (${stem} >= ${units}) break;`);
    this.#coordinates(walks, width, stem, depth + 1);
    return this.#guarded(walks, depth + 1);
  }

  /** Opens a loop in which all threads go side by side, so that what is close in memory stays the same for a thread; two braces. */
  openStrip(walks: readonly Walk[], width: number, stem: string, depth: number, unrolled = UNROLLED): number {
    const stride = strideOf(walks, width, this.threads);
    if (stride.walks === 0) return this.open(walks, width, "thread", String(this.threads), stem, depth);
    const outer = walks.slice(0, walks.length - stride.walks);
    const inner = walks.slice(walks.length - stride.walks);
    this.line(depth, `const t_index ${stem}_own = ${modulo("thread", stride.units)};`);
    this.#coordinates(inner, width, `${stem}_own`, depth);
    if (width > 1) this.line(depth, `#pragma unroll ${unrolled}`);
    const [only, ...more] = outer;
    const end = only && more.length === 0 ? this.of(only.live) : String(unitsOf(outer, 1));
    this.line(depth, `for (t_index ${stem} = ${divided("thread", stride.units)}; ${stem} < ${end}; ${stem} += ${this.threads / stride.units}) {`); // prettier-ignore
    this.#coordinates(outer, 1, stem, depth + 1);
    return this.#guarded(more.length === 0 ? inner : walks, depth + 1);
  }

  /** Passes under way of a step that reads one tensor and keeps little: as many as make up the bytes. */
  passesOf({ wides }: Lanes): number {
    const [only, ...more] = wides;
    if (!only || more.length > 0) return UNROLLED;
    const passes = BYTES_UNDER_WAY / (only.elements * dtypeBytes(this.types.get(only.buffer)!));
    return Math.min(MOST_UNROLLED, Math.max(UNROLLED, passes));
  }

  /** The coordinates of a unit; of the last walk, where it has lanes, the first. */
  #coordinates(walks: readonly Walk[], width: number, unit: string, depth: number): void {
    let rest = unit;
    walks.toReversed().forEach(({ name, max }, i) => {
      const [own, size] = i === 0 && width > 1 ? [firstOf(name), max / width] : [name, max];
      const times = i === 0 && width > 1 ? ` * ${width}` : "";
      if (size === 1) return this.line(depth, `const t_index ${own} = 0;`);
      if (i === walks.length - 1) return this.line(depth, `const t_index ${own} = ${rest}${times};`);
      this.line(depth, `const t_index ${own} = ${modulo(rest, size)}${times};`);
      this.line(depth, `const t_index ${unit}_${i} = ${divided(rest, size)};`);
      rest = `${unit}_${i}`;
    });
  }

  #guarded(walks: readonly Walk[], depth: number): number {
    const dead = walks.filter(({ live, max }) => !(live.kind === "const" && live.value === max));
    const guard = dead.map(({ name, live }) => `${name} < ${this.of(live)}`).join(" && ");
    this.line(depth, guard ? `if (${guard}) {` : "{");
    return depth + 1;
  }

  /** Reads what is wide and opens the loop over lanes; one brace, none without lanes. */
  openLanes({ width, wides }: Lanes, walk: string, depth: number): number {
    if (width === 1) return depth;
    for (const { name, buffer, mode, index, elements, guard, held } of wides) {
      const dtype = this.types.get(buffer)!;
      const copy = (to: string, from: string): string => `t_copy<${elements * dtypeBytes(dtype)}>(${to}, ${from});`;
      this.line(depth, `__align__(16) ${storageText(dtype)} ${name}[${elements}];`);
      if (mode === "out") continue;
      const source = `${buffer} + (${this.of(index)})`;
      if (held) {
        if (held.reads) this.line(depth, copy(`${held.name}[pass]`, source));
        this.line(depth, copy(name, `${held.name}[pass]`));
        continue;
      }
      const read = copy(name, source);
      this.line(depth, guard ? `if (${this.of(guard)}) { ${read} } else for (int z = 0; z < ${elements}; z++) ${name}[z] = 0;` : read); // prettier-ignore
    }
    this.line(depth, "#pragma unroll");
    this.line(depth, `for (int ${laneOf(walk)} = 0; ${laneOf(walk)} < ${width}; ${laneOf(walk)}++) {`);
    this.line(depth + 1, `const t_index ${walk} = ${firstOf(walk)} + ${laneOf(walk)};`);
    return depth + 1;
  }

  /** Closes the loop over lanes and writes what is wide; gives the depth outside. */
  closeLanes({ width, wides }: Lanes, depth: number): number {
    if (width === 1) return depth;
    this.line(depth - 1, "}");
    for (const { name, buffer, mode, index, elements } of wides) {
      if (mode === "in") continue;
      const bytes = elements * dtypeBytes(this.types.get(buffer)!);
      this.line(depth - 1, `t_copy<${bytes}>(${buffer} + (${this.of(index)}), ${name});`);
    }
    return depth - 1;
  }

  statement(stmt: Stmt, depth: number): void {
    switch (stmt.kind) {
      case "let":
        return this.line(depth, `${stmt.mutable ? "" : "const "}${scalarText(stmt.value.type)} ${stmt.name} = ${this.of(stmt.value)};`); // prettier-ignore
      case "set":
        return this.line(depth, `${stmt.name} = ${this.of(stmt.value)};`);
      case "store": {
        const dtype = this.types.get(stmt.buffer)!;
        const type = stmt.value.type;
        const before = { kind: "load", type, buffer: stmt.buffer, index: stmt.index, guard: null } as const;
        const value: Expr = stmt.reduce === null ? stmt.value : { kind: "binary", type, fn: stmt.reduce, x: before, y: stmt.value }; // prettier-ignore
        return this.line(depth, `${stmt.buffer}[${this.of(stmt.index)}] = ${narrowedText(dtype, value, this.types)};`);
      }
      case "if":
        this.line(depth, `if (${this.of(stmt.condition)}) {`);
        for (const inner of stmt.body) this.statement(inner, depth + 1);
        return this.line(depth, "}");
      case "for":
        this.line(depth, `for (t_index ${stmt.name} = ${this.of(stmt.from)}; ${stmt.name} < ${this.of(stmt.to)}; ${stmt.name} += ${stmt.step}) {`); // prettier-ignore
        for (const inner of stmt.body) this.statement(inner, depth + 1);
        return this.line(depth, "}");
      case "note":
        return this.line(depth, `// ${stmt.text}`);
      case "product":
        throw new TroupeError("internal", "a register-blocked product in a block program");
      default:
        return stmt satisfies never;
    }
  }
}

function* widesIn(body: readonly BlockStmt[]): Generator<Lanes["wides"][number]> {
  for (const stmt of body)
    if (stmt.kind === "for") yield* widesIn(stmt.body);
    else if (stmt.kind === "each" || stmt.kind === "fold") yield* stmt.wides;
}

export const holds = ({ wides }: Lanes): boolean => wides.some(({ held }) => held !== undefined);

export const modulo = (x: string, by: number): string => (by === 1 ? "0" : `(t_index)((t_u32)${x} % ${by}u)`);
export const divided = (x: string, by: number): string => (by === 1 ? x : `(t_index)((t_u32)${x} / ${by}u)`);
