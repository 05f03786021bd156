import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import fc from "fast-check";
import { TroupeError } from "../core/error.js";
import { tensorOf, type Tensors } from "./memory.js";
import { SafetensorsFile } from "./safetensors.js";
import { expectTensor, readNumbers } from "./store.js";
import { encodeHeader, writeSafetensors } from "./write.js";

const folder = await mkdtemp(join(tmpdir(), "troupe-weights-"));
after(() => rm(folder, { recursive: true }));
let files = 0;
const fresh = (): string => join(folder, `${files++}.safetensors`);

const TENSORS: Tensors = {
  "a.weight": tensorOf("f32", [2, 3], [1, -2, 3.5, 0, 1e-3, 7]),
  scalar: tensorOf("bf16", [], [0.75]),
  empty: tensorOf("f16", [0, 4], []),
  ids: tensorOf("i32", [3], [1, 2, -3]),
};

/** A file with this header text and this many data bytes. */
async function raw(header: string, dataBytes: number, claimed?: number): Promise<string> {
  const json = new TextEncoder().encode(header);
  const bytes = new Uint8Array(8 + json.byteLength + dataBytes);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(claimed ?? json.byteLength), true);
  bytes.set(json, 8);
  const path = fresh();
  await writeFile(path, bytes);
  return path;
}

const refuses = (path: string, message: RegExp): Promise<void> =>
  assert.rejects(SafetensorsFile.open(path), (error) => {
    assert.ok(error instanceof TroupeError, String(error));
    assert.equal(error.code, "weights");
    assert.match(error.message, message);
    assert.ok(error.advice);
    return true;
  });

test("what is written is read back, tensor by tensor and with its metadata", async () => {
  const path = fresh();
  await writeSafetensors(path, TENSORS, { note: "x" });
  await using file = await SafetensorsFile.open(path);
  assert.deepEqual(file.metadata, { note: "x" });
  assert.deepEqual([...file.names()].sort(), Object.keys(TENSORS).sort());
  for (const [name, { dtype, shape, data }] of Object.entries(TENSORS)) {
    assert.deepEqual(file.get(name), { dtype, shape, bytes: data.byteLength });
    const into = new Uint8Array(data.byteLength).fill(0xee);
    await file.read(name, into);
    assert.deepEqual(into, data);
  }
  assert.deepEqual([...(await readNumbers(file, "scalar"))], [0.75]);
  assert.equal(encodeHeader(TENSORS).byteLength % 8, 0);
  assert.ok((await readdir(folder)).every((name) => !name.endsWith(".tmp")));
});

test("a tensor is read into the middle of a larger buffer without touching its neighbours", async () => {
  const path = fresh();
  await writeSafetensors(path, TENSORS);
  await using file = await SafetensorsFile.open(path);
  const block = new Uint8Array(64).fill(0xaa);
  await file.read("a.weight", block.subarray(8, 32));
  assert.ok(block.subarray(0, 8).every((b) => b === 0xaa) && block.subarray(32).every((b) => b === 0xaa));
  assert.deepEqual(block.slice(8, 32), TENSORS["a.weight"]!.data);
  await assert.rejects(file.read("a.weight", new Uint8Array(23)), /24 bytes, the buffer given has 23/);
});

test("a missing tensor names a near one, a wrong shape names both", async () => {
  const path = fresh();
  await writeSafetensors(path, TENSORS);
  await using file = await SafetensorsFile.open(path);
  assert.throws(
    () => file.get("model.a.weight"),
    (e) => e instanceof TroupeError && /it has a\.weight/.test(e.advice!),
  );
  assert.throws(() => expectTensor(file, "a.weight", [3, 2]), /f32 \[2, 3\]; the config asks for floats \[3, 2\]/);
  assert.throws(() => expectTensor(file, "ids", [3]), /i32 \[3\]/);
});

test("a read ends when its signal is aborted", async () => {
  const path = fresh();
  await writeSafetensors(path, TENSORS);
  await using file = await SafetensorsFile.open(path);
  await assert.rejects(
    file.read("ids", new Uint8Array(12), { signal: AbortSignal.abort() }),
    (error) => error instanceof TroupeError && error.code === "cancelled",
  );
});

test("a file that is not there is an input error, not a weight error", async () => {
  await assert.rejects(SafetensorsFile.open(join(folder, "none")), (e) => e instanceof TroupeError && e.code === "io");
});

const one = (entry: string): string => `{"t":${entry}}`;

test("malformed files are refused with what is wrong", async () => {
  const short = fresh();
  await writeFile(short, new Uint8Array(5));
  await refuses(short, /too short/);
  await refuses(await raw("{}", 0, 200_000_000), /claims a header of 200000000 bytes/);
  await refuses(await raw("{}", 0, 50), /ends inside its header/);
  await refuses(await raw("nonsense", 0), /does not begin with a JSON object/);
  await refuses(await raw('{"t":', 0), /not JSON/);
  await refuses(await raw(one('{"dtype":"F99","shape":[1],"data_offsets":[0,4]}'), 4), /unknown dtype "F99"/);
  await refuses(await raw(one('{"dtype":"constructor","shape":[1],"data_offsets":[0,4]}'), 4), /unknown dtype/);
  await refuses(await raw(one('{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}'), 4), /shape/);
  await refuses(await raw(one('{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}'), 4), /shape/);
  await refuses(await raw(one('{"dtype":"F32","shape":[1],"data_offsets":[0]}'), 4), /data_offsets/);
  await refuses(await raw(one('{"dtype":"F32","shape":[1],"data_offsets":[4,0]}'), 4), /gives t -4 bytes/);
  await refuses(await raw(one('{"dtype":"F32","shape":[2],"data_offsets":[0,4]}'), 4), /needs 8/);
  await refuses(await raw(one('{"dtype":"F4","shape":[3],"data_offsets":[0,2]}'), 2), /needs 1.5/);
  await refuses(await raw(one('{"dtype":"F32","shape":[4503599627370496,8],"data_offsets":[0,4]}'), 4), /needs/);
  await refuses(await raw(one("null"), 0), /gives t no description/);
  await refuses(await raw(one('{"dtype":"F32","shape":[1],"data_offsets":[0,4]}'), 2), /truncated/);
  await refuses(await raw(one('{"dtype":"F32","shape":[1],"data_offsets":[0,4]}'), 6), /2 bytes after its last/);
  await refuses(await raw(one('{"dtype":"F32","shape":[1],"data_offsets":[4,8]}'), 8), /hole of 4 bytes/);
  const f32 = '{"dtype":"F32","shape":[1],"data_offsets":';
  await refuses(await raw(`{"a":${f32}[0,4]},"b":${f32}[2,6]}}`, 6), /overlap at b/);
  await refuses(await raw(`{"a":${f32}[0,4]},"a" :${f32}[0,4]}}`, 4), /names a twice/);
  await refuses(await raw(`{"a":${f32}[0,4]},"\\u0061":${f32}[0,4]}}`, 4), /names a twice/);
  await refuses(await raw('{"__metadata__":{"a":1}}', 0), /__metadata__/);
});

test("hostile headers are refused before anything large is built from them", async () => {
  const f32 = '"dtype":"F32","shape":[1],"data_offsets":[0,4]';
  const deep = "[".repeat(2_000_000);
  await refuses(await raw(`{"t":${deep}`, 0), /nests deeper than 3/);
  await refuses(await raw(one(`{"dtype":${deep}${"]".repeat(2_000_000)}}`), 0), /nests deeper than 3/);
  await refuses(await raw(one(`{"dtype":"F32","shape":[${"0,".repeat(1_000_000)}0]}`), 0), /more than 64 items/);
  await refuses(await raw(`{"t":0${',"t":0'.repeat(1_000_000)}}`, 0), /names t twice/);
  await refuses(await raw(`{${"0,".repeat(1_000_001)}}`, 0), /more than 1000000 items/);
  await refuses(await raw(`{"a":{${f32}},"a"${" ".repeat(100)}:{${f32}}}`, 4), /names a twice/);
  await refuses(await raw(`{"t":{"dtype":"F16",${f32}}}`, 4), /names dtype twice/);
  await refuses(await raw('{"__metadata__":{"a":"1","a":"2"}}', 0), /names a twice/);
  await refuses(await raw(`{"t":"${"x".repeat(20_000_000)}`, 0), /a string without an end/);
  await refuses(await raw(one('{"dtype":"F32","shape":[1e400],"data_offsets":[0,4]}'), 4), /shape/);
  await refuses(await raw(one('{"dtype":"F32","shape":[-0],"data_offsets":[0,0]}'), 0), /shape/);
  await refuses(await raw(one('{"dtype":"F32","shape":[9007199254740993],"data_offsets":[0,4]}'), 4), /shape/);
  await refuses(await raw(one('{"dtype":"F32","shape":[0],"data_offsets":[9007199254740991,9007199254740991]}'), 4), /hole/); // prettier-ignore
  await refuses(await raw(one('{"dtype":{"toString":1},"shape":[1],"data_offsets":[0,4]}'), 4), /unknown dtype/);
  await refuses(await raw(one("[0]"), 0), /gives t no description/);
});

test("names from a file cannot write to the terminal or fill it", async () => {
  const path = await raw(`{"\\u001b[2J${"x".repeat(5000)}":{"dtype":"\\u202eF99"}}`, 0);
  const error = await SafetensorsFile.open(path).catch((e: unknown) => e);
  assert.ok(error instanceof TroupeError);
  assert.match(error.message, /gives \\u001b\[2Jx{70,80}… the unknown dtype "\\u202eF99"$/);
});

test("a name from the prototype is a name like any other", async () => {
  const entry = (at: number): string => `{"dtype":"U8","shape":[1],"data_offsets":[${at},${at + 1}]}`;
  const path = await raw(`{"__proto__":${entry(0)},"constructor":${entry(1)},"toString":${entry(2)}}`, 3);
  await using file = await SafetensorsFile.open(path);
  assert.deepEqual(file.names(), ["__proto__", "constructor", "toString"]);
  assert.throws(() => file.get("hasOwnProperty"), /has no tensor hasOwnProperty/);
  assert.equal(Object.hasOwn(Object.prototype, "dtype"), false);
});

test("a very long string in the header is only long", async () => {
  const path = await raw(`{"__metadata__":{"k":"${"\\n".repeat(10_000_000)}"}}`, 0);
  await using file = await SafetensorsFile.open(path);
  assert.equal(file.metadata.k!.length, 10_000_000);
});

test("what is no regular file is refused and not waited for", async (t) => {
  const pipe = fresh();
  if (spawnSync("mkfifo", [pipe]).status !== 0) return t.skip("no mkfifo here");
  for (const path of [pipe, folder])
    await assert.rejects(SafetensorsFile.open(path), (e) => e instanceof TroupeError && e.code === "io" && /no regular file/.test(e.message)); // prettier-ignore
});

test("valid oddities are accepted: padding, a dtype we do not compute with, strings that look like structure", async () => {
  const path = await raw(
    '{"__metadata__":{"k":"} {\\"a\\":"},"a}":{"dtype":"F8_E5M2","shape":[2],"data_offsets":[0,2]}}   ',
    2,
  );
  await using file = await SafetensorsFile.open(path);
  assert.deepEqual(file.names(), ["a}"]);
  assert.throws(() => file.get("a}"), /stored as F8_E5M2, which is not supported/);
});

test("no damage to a file makes anything but a TroupeError, and no damage to its structure passes", async () => {
  const path = fresh();
  await writeSafetensors(path, TENSORS, { note: "x" });
  const good = new Uint8Array(await readFile(path));
  await fc.assert(
    fc.asyncProperty(fc.nat(good.length - 1), fc.nat(255), fc.nat(good.length), async (at, value, keep) => {
      const bytes = good.slice(0, keep < at ? good.length : keep);
      if (at < bytes.length) bytes[at] = value;
      const damaged = fresh();
      await writeFile(damaged, bytes);
      try {
        await using file = await SafetensorsFile.open(damaged);
        assert.equal(bytes.length, good.length, "a shortened file was accepted");
        for (const name of file.names()) assert.ok(name.length >= 0);
      } catch (error) {
        assert.ok(error instanceof TroupeError, String(error));
      }
    }),
    { numRuns: 200 },
  );
});
