// Verify: a tile program from anywhere (a trace, JSON, a rewrite) keeps every rule of program.ts, or the first rule it
// breaks is named with its op and line.
import { DTYPES } from "../core/dtype.js";
import { TroupeError } from "../core/error.js";
import type { Index, LoopOp, Op, TileProgram, Value } from "./program.js";
import { checkRange, checkSame, checkStore, RuleError, typeOf, type Scope } from "./rules.js";

/** @throws TroupeError "trace" naming program, op, line and rule. */
export function verify(program: TileProgram): void {
  new Verifier(program).run();
}

class Verifier {
  readonly #values = new Map<number, Value>();
  readonly #indices = new Map<number, Index>();
  readonly #valueIds = new Set<number>();
  readonly #indexIds = new Set<number>();
  readonly #stored = new Set<string>();
  readonly #scope: Scope;

  constructor(readonly program: TileProgram) {
    const params = new Map(program.params.map((param) => [param.name, param]));
    const axes = new Map(program.axes.map((axis) => [axis.name, axis]));
    this.#scope = {
      value: (id) => this.#values.get(id) ?? this.#broken(`value %${id} is not defined here`),
      index: (id) => this.#indices.get(id) ?? this.#broken(`index @${id} is not open here`),
      param: (name) => params.get(name) ?? this.#broken(`there is no parameter ${name}`),
      axis: (name) => axes.get(name) ?? this.#broken(`there is no axis ${name}`),
    };
  }

  run(): void {
    const { program } = this;
    this.#at("parameters", program.name, () => {
      this.#distinct(program.params.map((param) => param.name), "parameter"); // prettier-ignore
      this.#distinct(program.axes.map((axis) => axis.name), "axis"); // prettier-ignore
      for (const param of program.params) {
        this.#distinct(param.axes, `axis of ${param.name}`);
        if (!DTYPES.includes(param.dtype)) this.#broken(`${param.name} has dtype ${String(param.dtype)}`);
        param.axes.forEach((axis) => this.#scope.axis(axis));
      }
      for (const { name, size } of program.axes)
        if (size !== null && (!Number.isInteger(size) || size < 1)) this.#broken(`axis ${name} has size ${size}`);
    });
    for (const index of program.grid) this.#at("grid", index.where, () => this.#open(index));
    const twice = program.grid.find((index, i) => program.grid.slice(0, i).some((other) => other.axis === index.axis));
    if (twice) this.#at("grid", twice.where, () => this.#broken(`axis ${twice.axis} is spread over the grid twice`));
    this.#body(program.body);
    for (const param of program.params)
      if (param.mode === "out" && !this.#stored.has(param.name))
        this.#at("parameters", program.name, () => this.#broken(`nothing is stored to output ${param.name}`));
  }

  /** Checks ops in order, then what `end` asks while their values are still known. */
  #body(ops: readonly Op[], end = (): void => {}): void {
    const values: number[] = [];
    for (const op of ops)
      this.#at("fn" in op ? op.fn : op.kind, op.where, () => {
        switch (op.kind) {
          case "store":
            checkStore(op, this.#scope);
            this.#stored.add(op.tensor);
            return;
          case "loop":
            this.#loop(op);
            values.push(...op.results.map((result) => result.id));
            return;
          default: {
            const type = typeOf(op, this.#scope);
            if (type.axes.join() !== op.axes.join() || type.spans.join() !== op.spans.join() || type.dtype !== op.dtype)
              this.#broken(
                `%${op.id} says ${op.dtype}[${op.axes.join(" ")}], its op makes ${type.dtype}[${type.axes.join(" ")}]`,
              );
            this.#define(op);
            values.push(op.id);
          }
        }
      });
    end();
    for (const id of values) this.#values.delete(id);
  }

  #loop(op: LoopOp): void {
    checkRange(op.range, this.#scope);
    const { length } = op.init;
    if (op.args.length !== length || op.yields.length !== length || op.results.length !== length)
      this.#broken("init, args, yields and results differ in number");
    op.args.forEach((arg, i) => checkSame(`argument ${i}`, arg, this.#scope.value(op.init[i]!)));
    this.#open(op.index);
    for (const arg of op.args) this.#define(arg);
    this.#body(op.body, () =>
      op.yields.forEach((id, i) => checkSame(`yielded value ${i}`, this.#scope.value(id), op.args[i]!)),
    );
    for (const arg of op.args) this.#values.delete(arg.id);
    this.#indices.delete(op.index.id);
    op.results.forEach((result, i) => {
      checkSame(`result ${i}`, result, op.args[i]!);
      this.#define(result);
    });
  }

  #define(value: Value): void {
    if (this.#valueIds.has(value.id)) this.#broken(`value %${value.id} is defined twice`);
    if (value.axes.length !== value.spans.length) this.#broken(`value %${value.id} has not a span for every axis`);
    this.#valueIds.add(value.id);
    this.#values.set(value.id, value);
  }
  #open(index: Index): void {
    this.#scope.axis(index.axis);
    if (this.#indexIds.has(index.id)) this.#broken(`index @${index.id} is defined twice`);
    if ((index.step === "block") !== (index.block !== null))
      this.#broken(`index @${index.id}: blocks have a key, points none`);
    this.#indexIds.add(index.id);
    this.#indices.set(index.id, index);
  }
  #distinct(names: readonly string[], what: string): void {
    const twice = names.find((name, i) => names.indexOf(name) !== i);
    if (twice !== undefined) this.#broken(`${what} ${twice} is declared twice`);
  }
  #broken(message: string): never {
    throw new RuleError(message);
  }
  #at(kind: string, where: string, check: () => void): void {
    try {
      check();
    } catch (error) {
      if (!(error instanceof RuleError)) throw error;
      throw new TroupeError("trace", `kernel ${this.program.name}: ${kind}: ${error.message} (at ${where})`);
    }
  }
}
