// What surrounds a convolution of three filters: zeros behind its weights, and the copy of its channels, whose text is
// assembled where nvcc is and run on the processor where a C++ compiler is.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import koffi from "koffi";
import { nvccCompiler } from "../../device/cuda/compile.js";
import { Regions } from "../../graph/region.js";
import { Words } from "../../graph/words.js";
import { filterPack, packed } from "../native/host-pack.js";
import { isCannot } from "../provider.js";
import { formOf } from "./form.js";
import { NARROW_THREADS, narrowBlocks, narrowText, type Narrow } from "./narrow.js";
import { biasPack } from "./pack.js";

const NARROW: Narrow = { channels: 8, wanted: 3, size: [2, 11, 29], strides: [1000, 325, 29, 1] };
const APART: Narrow = { channels: 16, wanted: 9, size: [1, 3, 100], strides: [0, 1, 1000, 10] };

test("filters and biases get zeros behind them, filters their channels innermost", () => {
  const filter = filterPack(1, "bf16", [3, 2, 1, 2], 8);
  assert.deepEqual([filter.from, filter.to], [12, 32]);
  const made = packed(
    filter,
    Uint16Array.from({ length: 12 }, (_, i) => i + 1),
  );
  assert.deepEqual(Array.from(made.subarray(0, 13)), [1, 3, 2, 4, 5, 7, 6, 8, 9, 11, 10, 12, 0]);
  assert.ok(made.subarray(12).every((x) => x === 0));
  assert.deepEqual([...packed(biasPack(2, "bf16", 3, 8), Uint16Array.of(7, 8, 9))], [7, 8, 9, 0, 0, 0, 0, 0]);
  assert.equal(filterPack(1, "bf16", [8, 2, 1, 2], 8).recipe, "channels innermost");
});

test("a convolution of three filters goes through eight", () => {
  const g = new Words("conv");
  const [w, b] = [g.weight("w", "bf16", [3, 16, 3, 3]), g.weight("b", "bf16", [3])];
  const y = g.conv2d(g.silu(g.input("x", "bf16", [1, 16, 12, 12])), w, b, { stride: 1, padding: [1, 1, 1, 1] });
  const regions = new Regions(g.finish({ y: g.cast(y, "f32") }));
  const form = formOf(regions.region([regions.work.find(({ op }) => op === "conv2d")!.id]));
  assert.ok(!isCannot(form), JSON.stringify(form));
  assert.deepEqual(form.narrow, { channels: 8, wanted: 3, size: [1, 12, 12], strides: [432, 144, 12, 1] });
  assert.deepEqual(form.packs.map(({ to }) => to), [8 * 16 * 9, 8]); // prettier-ignore
  assert.deepEqual(form.layouts.outputs, [undefined]);
});

const gcc = spawnSync("g++", ["--version"]).status === 0 ? false : "there is no C++ compiler";
test("the wanted channels arrive where they should, and nothing else is written", { skip: gcc }, () => {
  const folder = mkdtempSync(join(tmpdir(), "narrow-"));
  const texts = [NARROW, APART].map(
    (narrow, i) => `namespace n${i} {\n${narrowText(narrow).replace('extern "C" __global__ void', "static void")}}
extern "C" void run${i}(const unsigned short* from, unsigned short* to) {
  for (blockIdx.x = 0; blockIdx.x < ${narrowBlocks(narrow)}; blockIdx.x++)
    for (threadIdx.x = 0; threadIdx.x < ${NARROW_THREADS}; threadIdx.x++) n${i}::narrow(from, to);
}\n`,
  );
  const prelude = "#define __launch_bounds__(n)\n#define __restrict__\nstruct Dim { int x; };\nstatic Dim threadIdx, blockIdx;\n"; // prettier-ignore
  writeFileSync(join(folder, "n.cpp"), prelude + texts.join(""));
  execFileSync("g++", ["-w", "-shared", "-fPIC", "-o", join(folder, "n.so"), join(folder, "n.cpp")]);
  const library = koffi.load(join(folder, "n.so"));
  rmSync(folder, { recursive: true });
  [NARROW, APART].forEach(({ channels, wanted, size: [B, P, Q], strides: [b, c, p, q] }, i) => {
    const from = Uint16Array.from({ length: B * P * Q * channels }, (_, at) => at % 65_000);
    const to = new Uint16Array(4000).fill(65_535);
    const expected = to.slice();
    for (let pixel = 0; pixel < B * P * Q; pixel++)
      for (let channel = 0; channel < wanted; channel++)
        expected[Math.floor(pixel / (P * Q)) * b + channel * c + (Math.floor(pixel / Q) % P) * p + (pixel % Q) * q] =
          from[pixel * channels + channel]!;
    (library.func(`void run${i}(void* from, void* to)`) as unknown as (a: Uint16Array, b: Uint16Array) => void)(from, to); // prettier-ignore
    assert.deepEqual(to, expected);
  });
});

const nvcc = nvccCompiler();
test("the copy assembles without spills", { skip: nvcc ? false : "nvcc was not found" }, () => {
  assert.match(nvcc!.compile(narrowText(NARROW), "sm_90a").log, /0 bytes spill stores, 0 bytes spill loads/);
});
