import assert from "node:assert/strict";
import koffi from "koffi";
import test from "node:test";
import { contiguous } from "../../core/shape.js";
import { CudaDevice } from "./device.js";
import { whyNoCuda } from "./driver.js";
import { bindReason, mapSpec, type DeviceTensor } from "./launch.js";
import type { CudaKernel } from "./kernel.js";
import { int32Bytes, int64Bytes, LaunchArguments } from "./module.js";
import { CudaEvent, CudaStream } from "./stream.js";
import { tensorMapReason } from "./tensor-map.js";

const tensor = (axes: readonly string[], shape: readonly number[], strides = contiguous(shape)): DeviceTensor => ({
  address: 4096n, dtype: "bf16", axes, shape, strides,
}); // prettier-ignore

test("launch arguments lie at multiples of their size and are found at their addresses", () => {
  const map = new Uint8Array(128).fill(7);
  const args = new LaunchArguments([int32Bytes(5), map, int64Bytes(-2), int32Bytes(9)]);
  const read = (i: number, type: string): unknown => koffi.decode(args.pointers[i]!, type);
  assert.equal(read(0, "int32"), 5);
  assert.equal(args.pointers[1]! % 128n, 0n);
  assert.equal(read(1, "uint8"), 7);
  assert.equal(Number(read(2, "int64")), -2);
  assert.equal(args.pointers[2]! % 8n, 0n);
  assert.equal(read(3, "int32"), 9);
});

test("a map with panels cuts the fastest dim into rows of 64 and keeps the tensor's strides", () => {
  const spec = mapSpec(
    { kind: "map", tensor: "q", axes: ["D", "Q", "H"], box: [64, 128, 2, 1], panels: true },
    tensor(["H", "Q", "D"], [24, 4352, 128], [128, 9216, 1]),
  );
  assert.deepEqual(spec.dims, [64, 4352, 2, 24]);
  assert.deepEqual(spec.strideBytes, [18432, 128, 256]);
  assert.equal(tensorMapReason(spec), undefined);
});

test("what the TMA unit cannot read is refused with the reason", () => {
  const map = { kind: "map", tensor: "a", axes: ["K", "M"], box: [64, 128], panels: false } as const;
  assert.match(tensorMapReason(mapSpec(map, tensor(["M", "K"], [64, 100])))!, /stride of 200 bytes/);
  assert.match(tensorMapReason({ ...mapSpec(map, tensor(["M", "K"], [64, 96])), address: 8n })!, /16 bytes/);
  assert.throws(() => mapSpec(map, tensor(["M", "K"], [64, 96], [1, 64])), /a is not contiguous along K/);
});

test("a kernel says before any launch which tensor it cannot take", () => {
  const kernel: CudaKernel = {
    name: "k", source: "", threads: 128, sharedBytes: 0, cluster: 1, fillsDevice: false, tiles: [],
    arguments: [
      { kind: "map", tensor: "a", axes: ["K", "M"], box: [64, 128], panels: false },
      { kind: "pointer", tensor: "bias" },
    ],
  }; // prettier-ignore
  const bias = tensor(["N"], [32]);
  assert.equal(bindReason(kernel, { a: tensor(["M", "K"], [64, 96]), bias }), undefined);
  assert.match(bindReason(kernel, { a: tensor(["M", "K"], [64, 100]), bias })!, /^a: a stride of 200 bytes/);
  assert.match(bindReason(kernel, { a: tensor(["M", "K"], [64, 96], [1, 64]), bias })!, /a is not contiguous along K/);
  assert.match(bindReason(kernel, { a: tensor(["M", "K"], [0, 96]), bias })!, /a is empty/);
  const apart = tensor(["N"], [32], [2]);
  assert.match(bindReason(kernel, { a: tensor(["M", "K"], [64, 96]), bias: apart })!, /bias is not contiguous along N/);
});

const why = whyNoCuda();
test(
  "without a driver the reason and the advice are one error",
  { skip: why ? false : "a CUDA driver is here" },
  () => {
    assert.throws(() => new CudaDevice(), { name: "TroupeError", code: "provider", message: /libcuda|device/ });
  },
);

test("bytes go to the device and come back, also inside a replayed graph", { skip: why ?? false }, () => {
  using device = new CudaDevice();
  using stream = new CudaStream(device);
  using event = new CudaEvent(device);
  const data = Uint8Array.from({ length: 1000 }, (_, i) => i % 251);
  using from = device.bufferOf(data);
  using to = device.allocate(1000);
  stream.fill(to, 0xff);
  using graph = stream.capture(() => stream.copy(to, from, 1000));
  stream.synchronize();
  assert.deepEqual(to.download(new Uint8Array(1000)), new Uint8Array(1000).fill(0xff), "a capture runs nothing");
  graph.launch(stream);
  stream.record(event).synchronize();
  assert.ok(event.done());
  assert.deepEqual(to.download(new Uint8Array(1000)), data);
});

test("page-locked memory carries bytes both ways on a stream", { skip: why ?? false }, async () => {
  using device = new CudaDevice();
  using stream = new CudaStream(device);
  using event = new CudaEvent(device);
  using pinned = device.allocatePinned(4096);
  using buffer = device.allocate(4096);
  const view = pinned.view();
  view.forEach((_, i) => (view[i] = i % 253));
  const sent = Uint8Array.from(view);
  stream.upload(buffer, pinned, 4096);
  stream.synchronize();
  view.fill(0);
  stream.download(pinned, buffer, 4096);
  await stream.record(event).reached();
  assert.deepEqual(Uint8Array.from(view), sent);
});

test("a driver's refusal names the call, the code and what to do", { skip: why ?? false }, () => {
  using device = new CudaDevice();
  assert.throws(() => device.allocate(2 ** 50), {
    name: "TroupeError",
    code: "memory",
    message: /cuMemAlloc_v2 failed: .*\(2\)/,
  });
});
