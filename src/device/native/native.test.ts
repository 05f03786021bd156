import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import koffi from "koffi";
import { TroupeError } from "../../core/error.js";
import { isCannot } from "./found.js";
import { bindFunctions, fileOf, openLibrary, stringAt } from "./library.js";
import { NativeMemory } from "./memory.js";
import { probe } from "./probe.js";
import { NativeScope } from "./scope.js";
import { hasAsyncStacks, STACK_BYTES } from "./stacks.js";
import { wordFunction } from "./words.js";

const libm = openLibrary({ name: "libm", files: ["libm.so.6"], requires: ["cos"], advice: "It is part of glibc." });
const skip = isCannot(libm) ? libm.cannot : false;

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

describe("libraries", () => {
  it("an absent library is an answer that names it, its files and the advice", () => {
    const answer = openLibrary({ name: "Nothing", files: ["libnothing.so.7"], requires: ["x"], advice: "Install it." });
    assert.ok(isCannot(answer));
    assert.equal(answer.cannot, "Nothing cannot be loaded: none of libnothing.so.7 is installed. Install it.");
  });

  it("a file that is no library is an answer with the loader's reason", () => {
    const file = new URL(import.meta.url).pathname;
    const answer = openLibrary({ name: "Text", files: [file], requires: ["x"], advice: "" });
    assert.match(
      isCannot(answer) ? answer.cannot : "loaded",
      /Text cannot be loaded: .*native\.test\.js: .*(ELF|image|format)/,
    );
  });

  it("a library without the wanted symbol is refused with the symbol's name", { skip }, () => {
    const answer = openLibrary({ name: "libm", files: ["libm.so.6"], requires: ["no_such_function"], advice: "" });
    assert.match(isCannot(answer) ? answer.cannot : "loaded", /it has no symbol no_such_function/);
  });

  it("functions come typed and compute; a missing one is listed", { skip }, () => {
    assert.ok(!isCannot(libm));
    assert.match(libm.path, /libm/);
    const functions = bindFunctions(libm, { cos: ["f64", "f64"], hypot: ["f64", "f64", "f64"] });
    assert.ok(!isCannot(functions));
    assert.equal(functions.cos(0), 1);
    assert.equal(functions.hypot(3, 4), 5);
    const missing = bindFunctions(libm, { cosx: ["f64", "f64"], siny: ["f64", "f64"] });
    assert.match(isCannot(missing) ? missing.cannot : "", /no function cosx, siny/);
  });

  it("a library stays mapped when nothing holds its handle any more", async (t) => {
    const query = { name: "libthread_db", files: ["libthread_db.so.1"], requires: ["td_init"], advice: "" };
    const addressOf = (): bigint | undefined => {
      const library = openLibrary(query);
      return isCannot(library) ? undefined : library.address("td_init");
    };
    const address = addressOf();
    if (address === undefined) return t.skip("libthread_db.so.1 is not installed");
    collectGarbage();
    await new Promise((resolve) => setTimeout(resolve, 20));
    collectGarbage();
    assert.match(fileOf(address) ?? "unmapped", /libthread_db/);
    assert.equal(wordFunction(address, 0)(), 0n);
  });

  it("arguments of a wrong count or type are refused before C sees them", () => {
    const scope = new NativeScope();
    const free = wordFunction(koffi.address(koffi.load(null).symbol("labs")), 1);
    assert.throws(() => free(), TroupeError);
    assert.throws(() => scope.cString(undefined as unknown as string) && wordFunction(0n, 1), /no function/);
    const self = { name: "self", path: "", address: (s: string) => koffi.address(koffi.load(null).symbol(s)) };
    const bound = bindFunctions(self, { abs: ["i32", "i32"] });
    assert.ok(!isCannot(bound));
    assert.equal(bound.abs(-7), 7);
    assert.throws(() => bound.abs(1.7), /argument 1 is 1.7, which is not of type i32/);
    assert.throws(() => (bound.abs as unknown as () => number)(), /takes 1 arguments, got 0/);
    assert.throws(() => bound.abs(undefined as unknown as number), /not of type i32/);
  });
});

describe("memory", () => {
  it("blocks are aligned, zeroed, and shared with their views without copying", () => {
    using block = new NativeMemory(1000);
    assert.equal(block.address % 64n, 0n);
    const floats = new Float32Array(block.view(0, 400));
    assert.ok(floats.every((x) => x === 0));
    floats[3] = 2.5;
    assert.equal(new DataView(block.view(12, 4)).getFloat32(0, true), 2.5);
    assert.equal(koffi.address(block.view(64, 8)), block.address + 64n);
  });

  it("poison reads as NaN in f32 and stays inside its range", () => {
    using block = new NativeMemory(64);
    block.fill("poison", 16, 16);
    const floats = [...new Float32Array(block.view())];
    assert.deepEqual(
      floats.map(Number.isNaN),
      floats.map((_, i) => i >= 4 && i < 8),
    );
  });

  it("ranges outside the block, use after free and impossible sizes are errors", () => {
    const block = new NativeMemory(64);
    assert.throws(() => block.view(32, 64), /leave a block of 64/);
    assert.throws(() => block.write(new Uint8Array(65)), /leave a block/);
    block.dispose();
    block.dispose();
    assert.throws(() => block.view(), /after it was freed/);
    assert.throws(
      () => new NativeMemory(2 ** 52),
      (error) => error instanceof TroupeError && error.code === "memory",
    );
  });

  it("a view keeps its block alive when the block itself is forgotten", async () => {
    const views = Array.from({ length: 64 }, (_, i) => new Uint8Array(new NativeMemory(65536).view()).fill(i));
    collectGarbage();
    await new Promise((resolve) => setTimeout(resolve, 20)); // finalizers run after the collection
    const poisoned = Array.from({ length: 64 }, () => new NativeMemory(65536, "poison"));
    assert.ok(views.every((view, i) => view.every((byte) => byte === i)));
    for (const block of poisoned) block.dispose();
  });

  it("scopes lay out structs, strings and tables as C does, and run destructors last first", () => {
    const ends: number[] = [];
    const scope = new NativeScope();
    scope.defer(() => ends.push(1));
    scope.defer(() => ends.push(2));
    const rows = scope.structs([
      [{ i32: 7 }, { pointer: 0x1234n }],
      [{ i32: -8 }, { pointer: 0x5678n }],
    ]);
    assert.deepEqual(
      Array.from(koffi.decode(rows, "uint64_t", 4) as BigUint64Array, BigInt).map((w) => w & 0xffffffffn),
      [7n, 0x1234n, 0xfffffff8n, 0x5678n],
    );
    assert.equal(stringAt(scope.cString("größe")), "größe");
    const texts = koffi.decode(scope.strings(["a", "bc"]), "uint64_t", 2) as BigUint64Array;
    assert.deepEqual(
      Array.from(texts, (at) => stringAt(BigInt(at))),
      ["a", "bc"],
    );
    assert.equal(scope.bytes(1).address % 16n, 0n);
    const big = scope.bytes(100_000);
    assert.equal(big.view.byteLength, 100_000);
    scope.dispose();
    assert.deepEqual(ends, [2, 1]);
  });
});

describe("steps", () => {
  it("a function is called with words, and surplus words do no harm", async () => {
    const labs = wordFunction(koffi.address(koffi.load(null).symbol("labs")), 16);
    const words = [-5n, ...Array.from({ length: 15 }, () => 0n)];
    assert.equal(labs(...words), 5n);
    assert.equal(await labs.async(...words), 5n);
  });
});

describe("stacks", () => {
  it("calls off the JavaScript thread have the room of a main thread", () => {
    assert.equal(hasAsyncStacks(), true);
    assert.equal(koffi.config().sync_stack_size, STACK_BYTES);
  });
});

describe("probe", () => {
  const here = import.meta.url.replace("native.test.js", "probe.fixture.js");
  const task = (name: string, args: readonly unknown[] = [], timeoutMs = 20_000) =>
    probe<number>({ what: "the fixture", module: here, function: name, args, timeoutMs });

  it("returns what the function returned, even after other output", async () => {
    assert.deepEqual(await task("add", [2, 3]), { answer: 5 });
  });
  it("an answer counts that came in time to a process too busy to hear it", async () => {
    const asked = task("add", [2, 3], 2000);
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 4000);
    assert.deepEqual(await asked, { answer: 5 });
  });
  it("a crash, a hang, an exit and an exception are sentences", async () => {
    const [crash, hang, exit, thrown] = await Promise.all([
      task("crash"),
      task("hang", [], 1500),
      task("leave"),
      task("fail"),
    ]);
    assert.deepEqual(crash, { cannot: "the fixture crashed with SIGSEGV at a first try" });
    assert.deepEqual(hang, { cannot: "the fixture did not answer within 1500 ms of a first try" });
    assert.deepEqual(exit, { cannot: "the fixture failed at a first try: the process ended with status 3" });
    assert.deepEqual(thrown, { cannot: "the fixture failed at a first try: it is broken" });
  });
});
