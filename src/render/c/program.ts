// A thread program as C: `void name(void *const *args)`. The table has the tensors in the order of the parameters, then
// the scratch memory. The grid is an OpenMP loop inside.
import type { DType } from "../../core/dtype.js";
import { PROGRAM_VARIABLE, type Stmt, type ThreadProgram } from "../../lower/thread.js";
import { C_SCALAR, expression, narrowed, storageType } from "./expr.js";
import { prelude } from "./prelude.js";
import { pairPrelude, product, quadPrelude, type MicroKernels } from "./product.js";

export interface CSource {
  /** Functions of the kernel, without the prelude. */
  readonly text: string;
  readonly symbol: string;
  readonly vectorBytes: number;
}

/** The functions of one kernel; `symbol` is what the shared library exports. */
export function renderC(program: ThreadProgram, symbol: string): CSource {
  const types = new Map<string, DType>(program.buffers.map(({ name, dtype }) => [name, dtype]));
  const kernels: MicroKernels = new Map();
  /** Variables that hold a bf16 number as it was read. */
  const exact = new Set<string>();
  const lines: string[] = [];
  const block = (body: readonly Stmt[], indent: string): void => {
    for (const stmt of body) statement(stmt, indent);
  };
  const statement = (stmt: Stmt, indent: string): void => {
    const line = (text: string): void => void lines.push(`${indent}${text}`);
    switch (stmt.kind) {
      case "let":
        if (stmt.value.kind === "load" && types.get(stmt.value.buffer) === "bf16") exact.add(stmt.name);
        return line(`${stmt.mutable ? "" : "const "}${C_SCALAR[stmt.value.type]} ${stmt.name} = ${expression(stmt.value, types)};`); // prettier-ignore
      case "set":
        return line(`${stmt.name} = ${expression(stmt.value, types)};`);
      case "store": {
        const dtype = types.get(stmt.buffer)!;
        const element = `${stmt.buffer}[${expression(stmt.index, types)}]`;
        const whole = stmt.value.kind === "var" && exact.has(stmt.value.name);
        if (stmt.reduce === null) return line(`${element} = ${narrowed(dtype, stmt.value, types, whole)};`);
        const type = stmt.value.type;
        const before = { kind: "load", type, buffer: stmt.buffer, index: stmt.index, guard: null } as const;
        return line(`${element} = ${narrowed(dtype, { kind: "binary", type, fn: stmt.reduce, x: before, y: stmt.value }, types)};`); // prettier-ignore
      }
      case "for": {
        if (stmt.simd) {
          const sign = { add: "+", max: "max", min: "min" } as const;
          line(`#pragma omp simd${stmt.reductions.map(({ fn, name }) => ` reduction(${sign[fn]}: ${name})`).join("")}`);
        }
        const { name } = stmt;
        line(`for (long ${name} = ${expression(stmt.from, types)}; ${name} < ${expression(stmt.to, types)}; ${stmt.step === 1 ? `${name}++` : `${name} += ${stmt.step}`}) {`); // prettier-ignore
        block(stmt.body, `${indent}  `);
        return line("}");
      }
      case "if":
        line(`if (${expression(stmt.condition, types)}) {`);
        block(stmt.body, `${indent}  `);
        return line("}");
      case "note":
        return line(`/* ${stmt.text} */`);
      case "product":
        return void lines.push(product(stmt, types, kernels, program.vectorBytes, indent).trimEnd());
      default:
        return stmt satisfies never;
    }
  };
  const params = program.buffers.filter(({ at }) => at.kind === "param");
  const parallel = program.threads > 1;
  const indent = parallel ? "    " : "  ";
  lines.push(`void ${symbol}(void *const *args) {`);
  params.forEach(({ name, dtype, writable, at }) => {
    const type = `${writable ? "" : "const "}${storageType(dtype)}`;
    lines.push(`  ${type} *const ${name} = (${type} *)args[${at.kind === "param" ? at.position : 0}];`);
  });
  if (program.scratchBytes > 0) lines.push(`  char *const all = (char *)args[${params.length}];`);
  if (parallel) lines.push(`#pragma omp parallel num_threads(${program.threads})\n  {`);
  if (program.scratchBytes > 0)
    lines.push(`${indent}char *const scratch = ${parallel ? `all + omp_get_thread_num() * ${program.scratchBytes}L` : "all"};`); // prettier-ignore
  for (const { name, dtype, at } of program.buffers)
    if (at.kind === "scratch")
      lines.push(`${indent}${storageType(dtype)} *const ${name} = (${storageType(dtype)} *)__builtin_assume_aligned(scratch + ${at.offsetBytes}, 64);`); // prettier-ignore
  if (parallel) lines.push("#pragma omp for schedule(static)");
  lines.push(`${indent}for (long ${PROGRAM_VARIABLE} = 0; ${PROGRAM_VARIABLE} < ${program.programs}; ${PROGRAM_VARIABLE}++) {`); // prettier-ignore
  block(program.body, `${indent}  `);
  lines.push(`${indent}}`);
  if (parallel) lines.push("  }");
  lines.push("}");
  return { text: `${[...kernels.values()].join("")}${lines.join("\n")}\n`, symbol, vectorBytes: program.vectorBytes };
}

/** A whole file: the prelude, then kernels of one vector width, each micro-kernel once. */
export function cFile(sources: readonly CSource[]): string {
  const seen = new Set<string>();
  const texts = sources.map(({ text }) =>
    text
      .split(/(?=^static __attribute__)|(?=^void )/m)
      .filter((part) => part.startsWith("void ") || (!seen.has(part) && seen.add(part)))
      .join(""),
  );
  const body = texts.join("\n");
  const vectorBytes = sources[0]?.vectorBytes ?? 64;
  return `${prelude(vectorBytes)}${/DOT2I?\(/.test(body) ? pairPrelude(vectorBytes) : ""}${body.includes("DOT4I(") ? quadPrelude(vectorBytes) : ""}${body}`;
}
