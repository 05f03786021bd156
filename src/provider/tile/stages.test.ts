// Where several kernels of one candidate keep what they hand on, and which of them do not fit together.
import assert from "node:assert/strict";
import test from "node:test";
import type { DType } from "../../core/dtype.js";
import { Sheet, type KernelForm } from "../../kernel/sheet.js";
import { lowerForms } from "./stages.js";

const TARGET = { vectorBytes: 64, bf16dot: false, threads: 2 } as const;
const PLAIN = { blocks: {} };

/** x [N] → the temporaries named, each of its dtype. */
function writer(size: number, made: Readonly<Record<string, DType>>): KernelForm {
  const sheet = new Sheet();
  sheet.axis("N", size);
  sheet.parameter("x", "in", { input: 0 }, "f32", ["N"], [1]);
  for (const [name, dtype] of Object.entries(made)) sheet.temporary(name, "out", dtype, ["N"]);
  return sheet.finish("writes", (body) => {
    const at = { N: body.t.program("N") };
    for (const name of Object.keys(made)) body.store(name, at, body.floats("x", at).add(1));
  });
}

/** Temporary [N] → its sum. */
function reader(size: number, name: string, dtype: DType): KernelForm {
  const sheet = new Sheet();
  sheet.axis("N", size);
  sheet.axis("One", 1);
  sheet.temporary(name, "in", dtype, ["N"]);
  sheet.parameter("y", "out", { output: 0 }, "f32", ["One"], [1]);
  return sheet.finish("reads", (body) => {
    const sum = body.floats(name, {}).sum("N") as unknown as ReturnType<typeof body.floats>;
    body.store("y", { One: body.t.each("One") }, sum);
  });
}

test("temporaries lie behind the scratch memory that all kernels share, none in another's cache lines", () => {
  const forms = [writer(33, { a: "f32", b: "bf16" }), reader(33, "b", "bf16"), reader(33, "a", "f32")];
  const { programs, temporaries, workspaceBytes } = lowerForms(forms, PLAIN, TARGET);
  assert.deepEqual(programs.map(({ name }) => name), ["writes", "reads", "reads"]); // prettier-ignore
  const scratch = Math.max(...programs.map(({ scratchBytes, threads }) => scratchBytes * threads));
  assert.deepEqual([...temporaries], [["a", scratch], ["b", scratch + 192]]); // prettier-ignore
  assert.equal(workspaceBytes, scratch + 192 + 128); // 33 · 4 and 33 · 2 bytes in lines of 64
});

test("a kernel alone needs its scratch memory only", () => {
  const sheet = new Sheet();
  sheet.axis("N", 8);
  sheet.parameter("x", "in", { input: 0 }, "f32", ["N"], [1]);
  sheet.parameter("y", "out", { output: 0 }, "f32", ["N"], [1]);
  const form = sheet.finish("doubles", (body) => {
    const at = { N: body.t.program("N") };
    body.store("y", at, body.floats("x", at).mul(2));
  });
  const { programs, temporaries, workspaceBytes } = lowerForms([form], PLAIN, TARGET);
  assert.equal(workspaceBytes, programs[0]!.scratchBytes * programs[0]!.threads);
  assert.equal(temporaries.size, 0);
});

test("kernels that do not fit together are no candidate", () => {
  const made = writer(8, { a: "f32" });
  const lower = (...forms: readonly KernelForm[]) => lowerForms(forms, PLAIN, TARGET);
  assert.throws(() => lower(reader(8, "a", "f32"), made), /reads a, which no kernel before it writes/);
  assert.throws(() => lower(made, reader(8, "b", "f32")), /reads b, which no kernel before it writes/);
  assert.throws(() => lower(made, reader(9, "a", "f32")), /takes a for another than it is/);
  assert.throws(() => lower(made, reader(8, "a", "bf16")), /takes a for another than it is/);
});
