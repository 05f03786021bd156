// Verify: a thread program names only variables and buffers that exist, of fitting types, and scratch buffers lie apart
// from its end. A broken one is a bug of the lowering, found here instead of as memory corruption.
import { dtypeBytes } from "../core/dtype.js";
import { TroupeError } from "../core/error.js";
import { inside } from "./scalar.js";
import { PROGRAM_VARIABLE, scalarOf, type Buffer, type Expr, type Scalar, type Stmt, type ThreadProgram } from "./thread.js"; // prettier-ignore

/** @throws TroupeError "internal" that says what is wrong and where. */
export function verifyThreads(program: ThreadProgram): void {
  const fail = (what: string): never => {
    throw new TroupeError("internal", `thread program ${program.name}: ${what}`);
  };
  const buffers = new Map(program.buffers.map((buffer) => [buffer.name, buffer]));
  if (buffers.size !== program.buffers.length) fail("two buffers have one name");
  for (const { name, at, elements, dtype } of program.buffers)
    if (at.kind === "scratch" && at.offsetBytes + elements * dtypeBytes(dtype) > program.scratchBytes)
      fail(`${name} ends beyond the scratch memory`);
  if (!(program.programs >= 1 && program.threads >= 1)) fail("it has no programs or no threads");
  const bufferOf = (name: string): Buffer => buffers.get(name) ?? fail(`there is no buffer ${name}`);

  const expression = (x: Expr, scope: ReadonlyMap<string, Variable>): void => {
    if (x.kind === "var" && !scope.has(x.name)) fail(`${x.name} is used before it is defined`);
    if (x.kind === "var" && scope.get(x.name)!.type !== x.type) fail(`${x.name} is read as ${x.type}`);
    if (x.kind === "load") {
      if (scalarOf(bufferOf(x.buffer).dtype) !== x.type) fail(`${x.buffer} is read as ${x.type}`);
      if (x.index.type !== "index") fail(`${x.buffer} is indexed by ${x.index.type}`);
    }
    if (x.kind === "binary" && (x.x.type !== x.type || x.y.type !== x.type))
      fail(`${x.fn} of ${x.x.type} and ${x.y.type} makes ${x.type}`);
    if (x.kind === "select" && (x.x.type !== x.type || x.y.type !== x.type || x.condition.type !== "bool"))
      fail(`a choice of ${x.x.type} and ${x.y.type} by ${x.condition.type}`);
    if (x.kind === "compare" && x.x.type !== x.y.type) fail(`${x.fn} of ${x.x.type} and ${x.y.type}`);
    for (const part of inside(x)) expression(part, scope);
  };

  const walk = (body: readonly Stmt[], outer: ReadonlyMap<string, Variable>): void => {
    const scope = new Map(outer);
    const index = (x: Expr): void => {
      expression(x, scope);
      if (x.type !== "index") fail(`a place or count is ${x.type}`);
    };
    for (const stmt of body) {
      switch (stmt.kind) {
        case "let":
          expression(stmt.value, scope);
          if (scope.has(stmt.name)) fail(`${stmt.name} is defined twice`);
          scope.set(stmt.name, { type: stmt.value.type, mutable: stmt.mutable });
          break;
        case "set":
          expression(stmt.value, scope);
          if (!scope.get(stmt.name)?.mutable) fail(`${stmt.name} cannot be set`);
          break;
        case "store":
          index(stmt.index);
          expression(stmt.value, scope);
          if (!bufferOf(stmt.buffer).writable) fail(`${stmt.buffer} is only read`);
          break;
        case "for":
          index(stmt.from);
          index(stmt.to);
          if (scope.has(stmt.name)) fail(`${stmt.name} is defined twice`);
          walk(stmt.body, new Map(scope).set(stmt.name, { type: "index", mutable: false }));
          break;
        case "if":
          expression(stmt.condition, scope);
          walk(stmt.body, scope);
          break;
        case "product":
          for (const x of [stmt.rows, stmt.columns, stmt.steps, stmt.a.base, stmt.b.base, stmt.c.base]) index(x);
          if (bufferOf(stmt.c.buffer).dtype !== (scalarOf(bufferOf(stmt.a.buffer).dtype) === "i32" ? "i32" : "f32"))
            fail(`a product ends in ${stmt.c.buffer}, which is ${bufferOf(stmt.c.buffer).dtype}`);
          bufferOf(stmt.b.buffer);
          break;
        case "note":
          break;
        default:
          stmt satisfies never;
      }
    }
  };
  walk(program.body, new Map([[PROGRAM_VARIABLE, { type: "index", mutable: false }]]));
}

interface Variable {
  readonly type: Scalar;
  readonly mutable: boolean;
}
