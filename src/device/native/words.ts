// C functions called with machine words alone: how a step of a plan is called from JavaScript. Under the System V ABI
// a function ignores words beyond its own arguments, so one prototype serves all; floats must go by pointer.
import koffi, { type KoffiFunc, type TypeObject } from "koffi";
import { TroupeError } from "../../core/error.js";
import { hasAsyncStacks } from "./stacks.js";

/** Most words a step may have. */
export const MAX_WORDS = 16;

const prototypes = new Map<number, TypeObject>();

function prototype(words: number): TypeObject {
  let known = prototypes.get(words);
  if (!known)
    prototypes.set(
      words,
      (known = koffi.proto(
        "int64_t",
        Array.from({ length: words }, () => "uint64_t"),
      )),
    );
  return known;
}

export interface WordFunction {
  /** Calls and returns rax, as a signed 64-bit integer. Blocks JavaScript. */
  (...words: readonly bigint[]): bigint;
  /** The same on a thread of libuv's pool; on this one where stacks there are too small. */
  readonly async: (...words: readonly bigint[]) => Promise<bigint>;
}

/** The function at `address` as one of `count` words. */
export function wordFunction(address: bigint, count: number): WordFunction {
  if (count > MAX_WORDS) throw new TroupeError("internal", `a step of ${count} words; at most ${MAX_WORDS} are passed`);
  if (address === 0n) throw new TroupeError("internal", "a step has no function");
  const call = koffi.decode(address, prototype(count)) as KoffiFunc<(...words: bigint[]) => number | bigint>;
  const sync = (...words: readonly bigint[]): bigint => BigInt(call(...checkWords(words, count)));
  const async = (...words: readonly bigint[]): Promise<bigint> =>
    new Promise((resolve, reject) => {
      if (!hasAsyncStacks()) return resolve(sync(...words));
      call.async(...checkWords(words, count), (error: unknown, result: number | bigint) =>
        error ? reject(error as Error) : resolve(BigInt(result)),
      );
    });
  return Object.assign(sync, { async });
}

function checkWords(words: readonly bigint[], count: number): bigint[] {
  if (words.length !== count) throw new TroupeError("internal", `a step of ${count} words got ${words.length}`);
  return words.map((word) => BigInt.asUintN(64, word));
}

/** An int32 in rax, whose upper half C leaves undefined. */
export const asInt32 = (rax: bigint): number => Number(BigInt.asIntN(32, rax));
