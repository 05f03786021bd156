// A session on its own: what it does with its memory when it is called at the wrong time, and how it hands results out.
import assert from "node:assert/strict";
import { test } from "node:test";
import { openCpu } from "../device/cpu/device.js";
import { cpuTarget } from "../device/cpu/target.js";
import type { Graph } from "../graph/node.js";
import { Regions } from "../graph/region.js";
import { materialize } from "../graph/storage.js";
import { Words } from "../graph/words.js";
import { assemble } from "../plan/assemble.js";
import { propose } from "../plan/propose.js";
import { selectFirst } from "../plan/rivals.js";
import { isCannot, type Candidate, type Provider } from "../provider/provider.js";
import { factory } from "../provider/reference/provider.js";
import { memoryStore, tensorOf } from "../weights/memory.js";
import { Session } from "./session.js";

const target = cpuTarget(1);
const opened = await factory.open(target);
const reference = opened as Provider;
assert.ok(!isCannot(opened));
const device = openCpu(target);

/** Loaded with the reference for every op, unless another provider goes by its name. */
function load(graph: Graph, weights = memoryStore({}), provider = reference): Promise<Session> {
  const selection = selectFirst(propose(new Regions(graph), [reference]), [reference]);
  const plan = assemble(selection, { target, versions: { reference: reference.version }, label: "first" });
  return Session.load({ graph, plan, providers: new Map([["reference", provider]]), device, weights });
}

const floats = (...data: number[]): Uint8Array => new Uint8Array(Float32Array.from(data).buffer);
const numbers = (bytes: Uint8Array): number[] => [...new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4)]; // prettier-ignore

function doubling(): Graph {
  const g = new Words("doubling");
  const x = g.input("x", "f32", [2, 2]);
  const total = g.state("total", "f32", [2, 2]);
  const y = g.mul(x, 2);
  g.becomes(total, g.add(total, y));
  return materialize(g.finish({ y, right: g.slice(y, 1, 1, 1), turned: g.transpose(y, [1, 0]), x }));
}

test("results that are strided windows, views of an input or turned are handed out densely, row by row", async () => {
  using session = await load(doubling());
  session.write("x", floats(1, 2, 3, 4));
  await session.run();
  assert.deepEqual(numbers(session.read("y")), [2, 4, 6, 8]);
  assert.deepEqual(numbers(session.read("right")), [4, 8]);
  assert.deepEqual(numbers(session.read("turned")), [2, 6, 4, 8]);
  assert.deepEqual(numbers(session.read("x")), [1, 2, 3, 4]);
});

test("a state begins at zero, is kept from run to run, and may be written in between", async () => {
  using session = await load(doubling());
  session.write("x", floats(1, 2, 3, 4));
  await session.run();
  await session.run();
  assert.deepEqual(numbers(session.read("total")), [4, 8, 12, 16]);
  session.write("total", floats(0, 0, 0, 1));
  session.time();
  assert.deepEqual(numbers(session.read("total")), [2, 4, 6, 9]);
});

test("two states may change places in one run", async () => {
  const g = new Words("swap");
  const [a, b] = [g.state("a", "f32", [2]), g.state("b", "f32", [2])];
  g.becomes(a, b);
  g.becomes(b, a);
  using session = await load(materialize(g.finish({ sum: g.add(a, b) })));
  session.write("a", floats(1, 2));
  session.write("b", floats(3, 4));
  await session.run();
  assert.deepEqual([numbers(session.read("a")), numbers(session.read("b"))], [[3, 4], [1, 2]]); // prettier-ignore
});

test("a result that is a weight, or part of one, can be read", async () => {
  const g = new Words("weights");
  const w = g.weight("w", "f32", [2, 2]);
  const graph = materialize(g.finish({ w, row: g.slice(w, 0, 1, 1), one: g.constant([7], "f32", [1]) }));
  using session = await load(graph, memoryStore({ w: tensorOf("f32", [2, 2], [1, 2, 3, 4]) }));
  await session.run();
  assert.deepEqual(["w", "row", "one"].map((name) => numbers(session.read(name))), [[1, 2, 3, 4], [3, 4], [7]]); // prettier-ignore
});

test("a session that runs or is gone is not touched", async () => {
  const session = await load(doubling());
  const running = session.run();
  for (const call of [
    () => session.write("x", floats(1, 2, 3, 4)),
    () => session.read("y"),
    () => session.time(),
    () => session.profile(),
  ])
    assert.throws(call, /of the session of doubling was called while it runs/);
  await assert.rejects(session.run(), /run of the session of doubling was called while it runs/);
  session.dispose();
  session.dispose();
  await running;
  await assert.rejects(session.run(), /after it was disposed/);
  assert.throws(() => session.read("y"), /after it was disposed/);
});

test("wrong names and sizes are named", async () => {
  using session = await load(doubling());
  assert.throws(() => session.write("z", floats(1)), /doubling has no input or state named z/);
  assert.throws(() => session.write("x", floats(1)), /x of doubling takes 16 bytes, not 4/);
  assert.throws(() => session.read("nothing"), /doubling has no output or state named nothing/);
});

test("a cancelled run says so, and the session runs again", async () => {
  using session = await load(doubling());
  const abort = new AbortController();
  abort.abort();
  await assert.rejects(session.run({ signal: abort.signal }), { code: "cancelled" });
  session.write("x", floats(1, 1, 1, 1));
  await session.run();
  assert.deepEqual(numbers(session.read("y")), [2, 2, 2, 2]);
});

test("a candidate that comes back from a plan with other needs is refused before it writes anywhere", async () => {
  const changed = (changes: Partial<Candidate>): Provider => ({
    ...reference,
    revive: (region, choice) => ({ ...(reference.revive(region, choice) as Candidate), ...changes }),
  });
  const refused = async (changes: Partial<Candidate>, why: RegExp): Promise<void> => {
    await assert.rejects(load(doubling(), memoryStore({}), changed(changes)), (error: Error) =>
      why.test(error.message),
    );
  };
  await refused({ workspaceBytes: 64 }, /float64 came back changed: it needs 64 bytes of workspace, the plan has 0/);
  await refused({ packs: [{ input: 0, recipe: "panel", bytes: 4 }] }, /it packs its weights in another way/);
  await refused({ layouts: { inputs: [[1, 0]], outputs: [undefined] } }, /it has other layouts/);
});
