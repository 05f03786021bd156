// Print: a thread program as text for people, a statement a line.
import { show } from "./scalar.js";
import type { Stmt, ThreadProgram } from "./thread.js";

export function printThreads(program: ThreadProgram): string {
  const lines = [`threads ${program.name}: ${program.programs} programs on ${program.threads} threads, ${program.scratchBytes} bytes of scratch each`]; // prettier-ignore
  for (const { name, dtype, at, elements } of program.buffers)
    lines.push(at.kind === "param" ? `  ${name}: ${dtype} argument ${at.position}` : `  ${name}: ${dtype}[${elements}] at ${at.offsetBytes}`); // prettier-ignore
  const walk = (body: readonly Stmt[], indent: string): void => {
    const line = (text: string): void => void lines.push(`${indent}${text}`);
    for (const stmt of body) {
      switch (stmt.kind) {
        case "let":
          line(`${stmt.mutable ? "var" : "let"} ${stmt.name}: ${stmt.value.type} = ${show(stmt.value)}`);
          break;
        case "set":
          line(`${stmt.name} = ${show(stmt.value)}`);
          break;
        case "store":
          line(`${stmt.buffer}[${show(stmt.index)}] ${stmt.reduce ? `${stmt.reduce}=` : "="} ${show(stmt.value)}`);
          break;
        case "for": {
          const reductions = stmt.reductions.map(({ fn, name }) => ` ${fn} ${name}`).join("");
          const step = stmt.step === 1 ? "" : ` by ${stmt.step}`;
          line(`for ${stmt.name} from ${show(stmt.from)} to ${show(stmt.to)}${step}${stmt.simd ? " in lanes" : ""}${reductions}`); // prettier-ignore
          walk(stmt.body, `${indent}  `);
          break;
        }
        case "if":
          line(`if ${show(stmt.condition)}`);
          walk(stmt.body, `${indent}  `);
          break;
        case "product":
          line(
            `${stmt.c.buffer}[${show(stmt.c.base)}; ${show(stmt.rows)} rows by ${stmt.c.rowStride}, ${show(stmt.columns)} columns] ${stmt.accumulate ? "+=" : "="} ` +
              `${stmt.a.buffer}[${show(stmt.a.base)}; rows by ${stmt.a.rowStride}, steps by ${stmt.a.stepStride}] · ` +
              `${stmt.b.buffer}[${show(stmt.b.base)}; panels by ${stmt.b.panelStride}, steps by ${stmt.b.stepStride}] ` +
              `over ${show(stmt.steps)} ${{ f32: "steps", pair: "pairs", quad: "fours" }[stmt.mode]} in ${stmt.tile.rows}x${stmt.tile.vectors}`,
          );
          break;
        case "note":
          line(`# ${stmt.text}`);
          break;
        default:
          stmt satisfies never;
      }
    }
  };
  walk(program.body, "  ");
  return lines.join("\n");
}
