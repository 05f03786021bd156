// A block program as CUDA: one kernel, whose blocks take the points of the grid in turn. Arguments: the tensors in the
// order of the parameters, then the memory for values that shared memory does not hold.
import type { DType } from "../../core/dtype.js";
import { TroupeError } from "../../core/error.js";
import { elementsOf, type BlockProgram, type BlockStmt, type Fold, type Walk } from "../../lower/cuda/block-program.js";
import { PROGRAM_VARIABLE, type Expr, type Stmt } from "../../lower/thread.js";
import { expressionText, literalText, narrowedText, scalarText, storageText } from "./general-expr.js";
import { GENERAL_PRELUDE } from "./general-prelude.js";

/** Static shared memory for joining the warps of a block: 32 values and 32 positions. */
const JOIN_BYTES = 512;

/** Dynamic shared memory of a launch. */
export const dynamicSharedBytes = ({ inShared, scratchBytes }: BlockProgram): number =>
  JOIN_BYTES + (inShared ? scratchBytes : 0);

/**
 * The whole text of one kernel. `overlapping`: an input and the output may be the same memory, so that nothing may be
 * read ahead of a store.
 */
export function renderBlock(program: BlockProgram, symbol: string, overlapping: boolean): string {
  const writer = new Writer(program);
  const params = program.buffers.filter(({ at }) => at.kind === "param");
  const pointer = (dtype: DType, writable: boolean): string => `${writable ? "" : "const "}${storageText(dtype)}*`;
  const args = params.map(({ name, dtype, writable }) => `${pointer(dtype, writable)}${overlapping ? "" : " __restrict__"} ${name}`); // prettier-ignore
  writer.line(0, `extern "C" __global__ void __launch_bounds__(${program.threads}) ${symbol}(${[...args, "unsigned char* spilled"].join(", ")}) {`); // prettier-ignore
  writer.line(1, "extern __shared__ __align__(16) unsigned char shared[];");
  writer.line(1, "const int thread = threadIdx.x; const int lane = thread & 31; const int warp = thread >> 5;");
  if (program.scratchBytes > 0)
    writer.line(1, `unsigned char* const scratch = ${program.inShared ? `shared + ${JOIN_BYTES}` : `spilled + (t_i64)blockIdx.x * ${program.scratchBytes}`};`); // prettier-ignore
  for (const { name, dtype, at } of program.buffers)
    if (at.kind === "scratch")
      writer.line(1, `${storageText(dtype)}* const ${name} = (${storageText(dtype)}*)(scratch + ${at.offsetBytes});`);
  writer.line(1, `for (t_index ${PROGRAM_VARIABLE} = blockIdx.x; ${PROGRAM_VARIABLE} < ${literalText("index", program.programs)}; ${PROGRAM_VARIABLE} += gridDim.x) {`); // prettier-ignore
  writer.block(program.body, 2);
  writer.line(1, "}");
  writer.line(0, "}");
  return `${GENERAL_PRELUDE}typedef ${program.wide ? "t_i64" : "int"} t_index;\n${writer.text}`;
}

const START = { sum: 0, max: -Infinity, min: Infinity, argmax: -Infinity, argmin: Infinity } as const;

class Writer {
  readonly #lines: string[] = [];
  readonly #types: ReadonlyMap<string, DType>;
  readonly #threads: number;

  constructor(program: BlockProgram) {
    this.#types = new Map(program.buffers.map(({ name, dtype }) => [name, dtype]));
    this.#threads = program.threads;
  }

  get text(): string {
    return `${this.#lines.join("\n")}\n`;
  }

  line(depth: number, text: string): void {
    this.#lines.push(`${"  ".repeat(depth)}${text}`);
  }

  block(body: readonly BlockStmt[], depth: number): void {
    for (const stmt of body)
      switch (stmt.kind) {
        case "let":
          this.line(depth, `const ${scalarText(stmt.value.type)} ${stmt.name} = ${this.#of(stmt.value)};`);
          break;
        case "for":
          this.line(depth, `for (t_index ${stmt.name} = ${this.#of(stmt.from)}; ${stmt.name} < ${this.#of(stmt.to)}; ${stmt.name} += ${stmt.step}) {`); // prettier-ignore
          this.block(stmt.body, depth + 1);
          this.line(depth, "}");
          break;
        case "each":
          this.#each(stmt, depth);
          break;
        case "fold":
          this.#fold(stmt, depth);
          break;
        default:
          stmt satisfies never;
      }
  }

  #of(x: Expr): string {
    return expressionText(x, this.#types);
  }

  #barrier(depth: number): void {
    this.line(depth, this.#threads > 32 ? "__syncthreads();" : "__syncwarp();");
  }

  /** Opens a loop over elements, from `first` in steps of `step`; returns the depth inside and how many to close. */
  #open(walks: readonly Walk[], first: string, step: string, stem: string, depth: number): number {
    this.line(depth, `for (t_index ${stem} = ${first}; ${stem} < ${elementsOf(walks)}; ${stem} += ${step}) {`);
    let rest = stem;
    walks.toReversed().forEach(({ name, max }, i) => {
      const isOutermost = i === walks.length - 1;
      if (max === 1) return this.line(depth + 1, `const t_index ${name} = 0;`);
      this.line(depth + 1, `const t_index ${name} = ${isOutermost ? rest : `(t_index)((t_u32)${rest} % ${max}u)`};`);
      if (!isOutermost) {
        const next = `${stem}_${i}`;
        this.line(depth + 1, `const t_index ${next} = (t_index)((t_u32)${rest} / ${max}u);`);
        rest = next;
      }
    });
    const dead = walks.filter(({ live, max }) => !(live.kind === "const" && live.value === max));
    const guard = dead.map(({ name, live }) => `${name} < ${this.#of(live)}`).join(" && ");
    this.line(depth + 1, guard ? `if (${guard}) {` : "{");
    return depth + 2;
  }

  #close(depth: number): void {
    this.line(depth - 1, "}");
    this.line(depth - 2, "}");
  }

  #each({ walks, serial, body }: Extract<BlockStmt, { kind: "each" }>, depth: number): void {
    const inner = serial ? depth + 1 : depth;
    if (serial) this.line(depth, "if (thread == 0) {");
    const at = this.#open(walks, serial ? "0" : "thread", serial ? "1" : String(this.#threads), "each", inner);
    for (const stmt of body) this.#statement(stmt, at);
    this.#close(at);
    if (serial) this.line(depth, "}");
    this.#barrier(depth);
  }

  #fold(fold: Fold, depth: number): void {
    const { fn, type, kept, over, lanes, result } = fold;
    const isArg = fold.position !== null;
    const threads = this.#threads;
    const [first, step] = lanes === 1 ? ["thread", threads] : lanes === 32 ? ["warp", threads / 32] : ["0", 1];
    const at = this.#open(kept, String(first), String(step), "each", depth);
    const value = isArg ? `${result}_best` : result;
    this.line(at, `${scalarText(type)} ${value} = ${startText(fn, type)};`);
    if (isArg) this.line(at, `int ${result} = -1;`);
    const [from, stride] = lanes === 1 ? ["0", "1"] : lanes === 32 ? ["lane", "32"] : ["thread", String(threads)];
    const inside = this.#open(over, from, stride, "over", at);
    for (const stmt of fold.body) this.#statement(stmt, inside);
    if (isArg) this.#meet(fold, `${this.#of(fold.value)}`, `${this.#of(fold.position!)}`, inside);
    else this.line(inside, `${value} = ${joined(fn, value, this.#of(fold.value), type)};`);
    this.#close(inside);
    if (lanes !== 1) this.#joinWarp(fold, value, at);
    if (lanes === "block" && threads > 32) this.#joinBlock(fold, value, at);
    const writes = lanes === 1 ? "" : lanes === 32 ? "if (lane == 0) " : "if (thread == 0) ";
    this.line(at, `${writes}{`);
    for (const stmt of fold.after) this.#statement(stmt, at + 1);
    this.line(at, "}");
    if (lanes === "block" && threads > 32) this.line(at, "__syncthreads();");
    this.#close(at);
    this.#barrier(depth);
  }

  /** Takes another element if it is better, or as good and earlier; position -1 stands for none. */
  #meet({ fn, result }: Fold, value: string, position: string, depth: number): void {
    const better = fn === "argmax" ? ">" : "<";
    this.line(depth, `{ const auto other = ${value}; const int there = ${position};`);
    this.line(depth + 1, `if (there >= 0 && (${result} < 0 || other ${better} ${result}_best || (other == ${result}_best && there < ${result}))) { ${result}_best = other; ${result} = there; } }`); // prettier-ignore
  }

  #joinWarp(fold: Fold, value: string, depth: number): void {
    const shuffled = (x: string): string => `__shfl_xor_sync(0xffffffffu, ${x}, m)`;
    this.line(depth, "for (int m = 16; m > 0; m >>= 1) {");
    if (fold.position !== null) this.#meet(fold, shuffled(value), shuffled(fold.result), depth + 1);
    else this.line(depth + 1, `${value} = ${joined(fold.fn, value, shuffled(value), fold.type)};`);
    this.line(depth, "}");
  }

  /** The warps' results meet in shared memory, always in the same order. */
  #joinBlock(fold: Fold, value: string, depth: number): void {
    const type = scalarText(fold.type);
    const isArg = fold.position !== null;
    this.line(depth, `${type}* const met = (${type}*)shared; int* const places = (int*)(shared + 256);`);
    this.line(depth, `if (lane == 0) { met[warp] = ${value};${isArg ? ` places[warp] = ${fold.result};` : ""} }`);
    this.line(depth, "__syncthreads();");
    this.line(depth, `if (thread == 0) for (int w = 1; w < ${this.#threads / 32}; w++) {`);
    if (isArg) this.#meet(fold, "met[w]", "places[w]", depth + 1);
    else this.line(depth + 1, `${value} = ${joined(fold.fn, value, "met[w]", fold.type)};`);
    this.line(depth, "}");
  }

  #statement(stmt: Stmt, depth: number): void {
    switch (stmt.kind) {
      case "let":
        return this.line(depth, `${stmt.mutable ? "" : "const "}${scalarText(stmt.value.type)} ${stmt.name} = ${this.#of(stmt.value)};`); // prettier-ignore
      case "set":
        return this.line(depth, `${stmt.name} = ${this.#of(stmt.value)};`);
      case "store": {
        const dtype = this.#types.get(stmt.buffer)!;
        const type = stmt.value.type;
        const before = { kind: "load", type, buffer: stmt.buffer, index: stmt.index, guard: null } as const;
        const value: Expr = stmt.reduce === null ? stmt.value : { kind: "binary", type, fn: stmt.reduce, x: before, y: stmt.value }; // prettier-ignore
        return this.line(
          depth,
          `${stmt.buffer}[${this.#of(stmt.index)}] = ${narrowedText(dtype, value, this.#types)};`,
        );
      }
      case "if":
        this.line(depth, `if (${this.#of(stmt.condition)}) {`);
        for (const inner of stmt.body) this.#statement(inner, depth + 1);
        return this.line(depth, "}");
      case "for":
        this.line(depth, `for (t_index ${stmt.name} = ${this.#of(stmt.from)}; ${stmt.name} < ${this.#of(stmt.to)}; ${stmt.name} += ${stmt.step}) {`); // prettier-ignore
        for (const inner of stmt.body) this.#statement(inner, depth + 1);
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

function startText(fn: Fold["fn"], type: Fold["type"]): string {
  const start = START[fn];
  if (Number.isFinite(start) || type === "f32") return literalText(type, start);
  return start > 0 ? "2147483647" : "(-2147483647 - 1)";
}

function joined(fn: Fold["fn"], a: string, b: string, type: Fold["type"]): string {
  if (fn === "sum") return `${a} + ${b}`;
  if (type === "f32") return `${fn === "max" ? "fmaxf" : "fminf"}(${a}, ${b})`;
  return fn === "max" ? `max(${a}, ${b})` : `min(${a}, ${b})`;
}
