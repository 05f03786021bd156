import assert from "node:assert/strict";
import { after, test } from "node:test";
import koffi from "koffi";
import { TroupeError } from "../../core/error.js";
import { isCannot } from "../native/found.js";
import type { Step } from "../device.js";
import { compileC, findCompiler } from "./compile.js";
import { openCpu } from "./device.js";
import { openCpuDevice } from "./open.js";
import { cpuTarget } from "./target.js";

const SOURCE = `
int omp_get_thread_num(void);
extern int sched_getaffinity(int, unsigned long, void *);
/* The processors that each thread of the team may run on, one cell a thread. */
long places(unsigned long *out) {
#pragma omp parallel
  {
    unsigned long own[16] = {0};
    sched_getaffinity(0, sizeof own, own);
    out[omp_get_thread_num()] = own[0];
  }
  return 0;
}
long add(long *out, long x, long y) { *out = x + y; return 0; }
long last(long *out, long a, long b, long c, long d, long e, long f, long g, long h, long i, long j, long k, long l,
          long m, long n, long o) { *out = o; return 7; }
long upper(void) { return 1L << 32; }
struct timespec { long s, n; };
extern int nanosleep(const struct timespec *, struct timespec *);
long nap(void) { struct timespec t = {0, 20000000}; return nanosleep(&t, 0); }
`;

const compiler = await findCompiler();
const skip = isCannot(compiler) ? compiler.cannot : false;
const library = isCannot(compiler) ? undefined : koffi.load(await compileC(compiler, SOURCE));
const at = (name: string): bigint => koffi.address(library!.symbol(name));

for (const withTable of [true, false]) {
  const device = withTable ? await openCpuDevice() : openCpu(cpuTarget());
  const out = device.allocate(16);
  const cell = (): bigint => new DataView(out.read(0, 8).buffer).getBigInt64(0, true);
  const how = withTable ? "as a table" : "one by one";
  const native = (name: string, words: readonly bigint[], status: "ignored" | "zero" | "null"): Step => ({ kind: "native", name, fn: at(name), words, status }); // prettier-ignore
  after(() => out.dispose());

  test(`native steps run in order ${how}, with up to 16 words`, { skip }, async () => {
    const words = Array.from({ length: 16 }, (_, i) => BigInt(i));
    const program = device.program([
      native("last", [out.address, ...words.slice(1)], "ignored"),
      native("add", [out.address, 40n, 2n], "zero"),
    ]);
    await program.run();
    assert.equal(cell(), 42n);
    const profile = program.profile();
    assert.deepEqual(profile.map((p) => p.name), ["last", "add"]); // prettier-ignore
    const seen: bigint[] = [];
    out.write(0, new Uint8Array(8));
    assert.deepEqual(program.profile(() => seen.push(cell())).map((p) => p.name), ["last", "add"]); // prettier-ignore
    assert.deepEqual(seen, [0n, 15n, 42n]);
    assert.ok(program.time() >= 0);
    program.dispose();
  });

  test(`a bad status stops a program ${how} and names the step`, { skip }, async () => {
    const program = device.program([
      native("last", [out.address], "zero"),
      native("add", [out.address, 1n, 1n], "zero"),
    ]);
    await assert.rejects(program.run(), (e) => e instanceof TroupeError && e.code === "provider" && /last/.test(e.message)); // prettier-ignore
  });

  test(`an int is judged by its lower half, a pointer by all of it, ${how}`, { skip }, async () => {
    await device.program([native("upper", [], "zero")]).run();
    await assert.rejects(device.program([native("upper", [], "null")]).run(), /upper/);
  });

  test(`a signal ends a program between steps ${how}`, { skip }, async () => {
    const program = device.program(Array.from({ length: 200 }, () => native("nap", [], "zero")));
    const aborter = new AbortController();
    const start = performance.now();
    setTimeout(() => aborter.abort(), 50);
    await assert.rejects(program.run({ signal: aborter.signal }), (e) => e instanceof TroupeError && e.code === "cancelled"); // prettier-ignore
    assert.ok(performance.now() - start < 1000);
  });

  test(`programs that are run at once all run to their end ${how}`, { skip }, async () => {
    const cells = device.allocate(8 * 8);
    const programs = Array.from({ length: 8 }, (_, i) =>
      device.program([
        native("add", [cells.address + BigInt(8 * i), BigInt(i), 1n], "zero"),
        native("nap", [], "zero"),
      ]),
    );
    await Promise.all(programs.map((program) => program.run()));
    assert.deepEqual([...new BigInt64Array(cells.read(0, 64).slice().buffer)], [1n, 2n, 3n, 4n, 5n, 6n, 7n, 8n]);
    cells.dispose();
  });

  test(`host steps run between native ones ${how}`, { skip }, async () => {
    const seen: bigint[] = [];
    const program = device.program([
      native("add", [out.address, 1n, 2n], "zero"),
      { kind: "host", name: "look", run: () => void seen.push(cell()) },
      native("add", [out.address, 3n, 4n], "zero"),
    ]);
    await program.run();
    assert.deepEqual([...seen, cell()], [3n, 7n]);
  });
}

test("a team as large as the machine has a processor for each of its threads", { skip }, async () => {
  const target = cpuTarget();
  const device = await openCpuDevice(target);
  const cells = device.allocate(8 * target.threads);
  await device.program([{ kind: "native", name: "places", fn: at("places"), words: [cells.address], status: "zero" }]).run(); // prettier-ignore
  const masks = [...new BigUint64Array(cells.read(0, 8 * target.threads).slice().buffer)];
  cells.dispose();
  assert.equal(new Set(masks).size, target.threads);
  const bound = target.threads > 2 ? masks.slice(1) : masks; // the first of more than two starts others and stays free
  for (const mask of bound) assert.equal(mask & (mask - 1n), 0n, `a thread may run on ${mask.toString(2)}`);
});

test("source that does not compile says so in the compiler's words", { skip }, async () => {
  if (isCannot(compiler)) return;
  await assert.rejects(compileC(compiler, "int broken("), (e) => e instanceof TroupeError && e.code === "compile");
});
