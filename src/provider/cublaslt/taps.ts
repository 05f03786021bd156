// A convolution of few filters as one product and a sum: every pixel's channels times each tap of each filter, a plane of
// float32 a tap and filter; then every result adds up its taps' planes, shifted against each other. The picture is read
// once, where an implicit product reads it once a tap, for tiles of which a few columns are wanted. Pictures come one
// after another through the same planes.
import { dtypeBytes, type DType } from "../../core/dtype.js";
import { contiguous, denseStrides, isContiguous, type Strides } from "../../core/shape.js";
import type { CudaDevice } from "../../device/cuda/device.js";
import { architectureOf } from "../../device/cuda/target.js";
import type { Address } from "../../device/device.js";
import type { Operand, Region } from "../../graph/region.js";
import { layoutsOf, Sheet, type Floats, type KernelForm } from "../../kernel/sheet.js";
import type { BlockProgram } from "../../lower/cuda/block-program.js";
import { lowerToBlock } from "../../lower/cuda/general.js";
import { chainOf } from "../native/chain.js";
import { GPU_BYTES_PER_US, GPU_FLOPS_PER_US, gpuUs } from "../native/gpu-model.js";
import { declared, filterPack, packOnDevice, type HostPack } from "../native/host-pack.js";
import { isCannot, type Binding, type Candidate, type Cannot, type Kernel, type Layout } from "../provider.js";
import { GeneralKernel, type CudaWork } from "../tile/cuda-kernel.js";
import { MOST_PICTURES, type Form } from "./form.js";
import type { CublasLt } from "./library.js";
import { algorithmsFor, alignedApart, MOST_WORKSPACE_BYTES, Product } from "./product.js";

const DTYPES: ReadonlySet<DType> = new Set(["f32", "bf16", "f16"]);
/** Of taps times filters: more fill tiles by themselves. */
const MOST_PLANES = 64;
const CHANNELS_LAST = [0, 2, 3, 1];
/** The library's kernels for tensor cores want rows that begin on so many bytes. */
const ROW_BYTES = 16;
const WORKSPACE_BYTES = 256;
/** Of a picture. */
const LAUNCHES = 2;
/** Of the sums that a block makes: some lines, so that their taps lie together. */
const BLOCKS = { O: 1, OY: 2, OX: 1024 } as const;

type Four = readonly [number, number, number, number];

/** The sum of one picture's taps. */
export interface TapSum {
  /** [filters, lines of taps, columns of taps, lines, columns] of the planes. */
  readonly planes: readonly [number, number, number, number, number];
  /** Lines and columns of the result, and how its filters, lines and columns lie. */
  readonly size: readonly [number, number];
  readonly strides: Strides;
  readonly dtype: DType;
  /** Zeros above and to the left. */
  readonly padding: readonly [number, number];
  readonly bias?: DType;
}

export interface Taps {
  /** Of one picture; A is its pixels, B the packed filters. */
  readonly form: Form;
  readonly sum: TapSum;
  /** Inputs of the region: picture, filters, bias. */
  readonly operands: readonly number[];
  readonly inputs: readonly Layout[];
  readonly pack: HostPack;
  readonly pictures: number;
  /** Bytes from a picture to the next, and to the next of the result. */
  readonly apart: readonly [number, number];
}

/** conv2d of stride 1 with its bias, perhaps cast afterwards. */
export function tapsOf(region: Region): Taps | Cannot {
  const chain = chainOf(region);
  if (isCannot(chain)) return chain;
  const { head, operands, links } = chain;
  const [xAt, wAt, biasAt] = operands as [number, number, number?];
  const [x, w] = [region.inputs[xAt]!, region.inputs[wAt]!];
  const [output] = region.outputs as readonly [Operand];
  const bias = biasAt === undefined ? undefined : region.inputs[biasAt]!;
  const { stride, padding } = head.params as { stride: number; padding: Four };
  const [B, C, H, W] = x.shape as Four;
  const [O, , R, S] = w.shape as Four;
  const [, , P, Q] = output.shape as Four;
  const bytes = dtypeBytes(x.dtype);
  if (links.length > 1 || links.some(({ node }) => node.op !== "cast")) return { cannot: `nothing but a cast follows a sum of taps, no ${links[0]!.node.op}` }; // prettier-ignore
  const odd = [x, w, output, ...(bias ? [bias] : [])].find(({ dtype }) => !DTYPES.has(dtype));
  if (odd || w.dtype !== x.dtype) return { cannot: `cuBLASLt multiplies operands of one float type here, not ${(odd ?? w).dtype}` }; // prettier-ignore
  if ([B, C, H, W, O, P, Q].includes(0)) return { cannot: "an operand has no elements" };
  if (stride !== 1) return { cannot: `taps ${stride} pixels apart are not summed` };
  const planes = O * R * S;
  if (planes > MOST_PLANES) return { cannot: `${planes} taps of filters are no few` };
  if (w.kind !== "weight" && w.kind !== "constant") return { cannot: "the filter is no weight" };
  if (!isContiguous(w.shape, w.strides) || (bias && bias.strides[0] !== 1)) return { cannot: "the filters lie apart" };
  if ((C * bytes) % ROW_BYTES !== 0) return { cannot: `${C} channels do not start on ${ROW_BYTES} bytes` };
  if (B > MOST_PICTURES) return { cannot: `${B} pictures one after another are too many launches` };
  const turns = !x.fixed && x.kind === "activation";
  const strides = turns ? denseStrides(x.shape, CHANNELS_LAST) : x.strides;
  const isDense = [strides[1], strides[3], strides[2]].every((step, i) => x.shape[[1, 3, 2][i]!] === 1 || step === [1, C, W * C][i]); // prettier-ignore
  if (!isDense) return { cannot: "a picture's channels do not lie innermost, and its layout is given" };
  const matrix = { rows: C, ld: C, transposed: false, batchStride: 0 };
  const form: Form = {
    dtype: x.dtype, m: H * W, n: planes, batch: 1, left: 0, right: 1, gelu: false, resultDtype: "f32",
    a: { ...matrix, columns: H * W },
    b: { ...matrix, columns: planes },
    d: { rows: H * W, columns: planes, ld: H * W, transposed: false, batchStride: 0 },
  }; // prettier-ignore
  return {
    form,
    sum: {
      planes: [O, R, S, H, W],
      size: [P, Q],
      strides: output.strides.slice(1),
      dtype: output.dtype,
      padding: [padding[0], padding[1]],
      ...(bias && { bias: bias.dtype }),
    },
    operands,
    inputs: region.inputs.map((_, i) => (turns && i === xAt ? CHANNELS_LAST : undefined)),
    pack: filterPack(wAt, w.dtype, [O, C, R, S]),
    pictures: B,
    apart: B === 1 ? [0, 0] : [strides[0]! * bytes, output.strides[0]! * dtypeBytes(output.dtype)],
  };
}

export function tapsCandidate(provider: string, library: CublasLt, device: CudaDevice, region: Region): Candidate | Cannot {
  const taps = tapsOf(region);
  if (isCannot(taps)) return taps;
  const { form, pack, pictures, apart, operands } = taps;
  const a = alignedApart(region.inputs[operands[0]!]!.alignmentBytes, apart[0]);
  const [algorithm] = algorithmsFor(library, form, { a, b: 64, c: 64, d: 64, bias: 64 }, 1);
  if (!algorithm) return { cannot: "cuBLASLt has no algorithm for these operands" };
  const planeBytes = Math.ceil((form.m * form.n * 4) / WORKSPACE_BYTES) * WORKSPACE_BYTES;
  const rate = GPU_FLOPS_PER_US[form.dtype === "f32" ? "vector" : "tensor"];
  return {
    provider,
    id: "convolution by taps",
    params: {},
    layouts: { inputs: taps.inputs, outputs: [undefined] },
    aliases: [],
    packs: [declared(pack)],
    workspaceBytes: MOST_WORKSPACE_BYTES + planeBytes,
    accumulation: "f32",
    capturable: true,
    estimateUs: gpuUs(region, rate, LAUNCHES * pictures) + (pictures * 2 * planeBytes) / GPU_BYTES_PER_US.any,
    build: () => build(device, region, taps, new Product(library, `${labelOf(region)}, taps`, form, algorithm)),
  };
} // prettier-ignore

const labelOf = ({ nodes }: Region): string => nodes.map(({ op }) => op).join("+");

async function build(device: CudaDevice, region: Region, taps: Taps, product: Product): Promise<Kernel> {
  const { pack, pictures, apart, operands } = taps;
  const form = tapSumForm(taps.sum);
  const work: CudaWork = { name: `${labelOf(region)}, sum of taps`, device, architecture: architectureOf(device.facts), form };
  const sum = await GeneralKernel.build(work, tapSumProgram(form, device.facts.multiprocessors));
  return {
    pack: (_, from, to) => packOnDevice(device, pack, from, to),
    bind: ({ inputs, outputs, workspace }: Binding) => {
      const [x, w, ...bias] = operands.map((index) => inputs[index]!) as [Address, Address, Address?];
      const planes = workspace + BigInt(MOST_WORKSPACE_BYTES);
      return Array.from({ length: pictures }, (_, picture) => [
        ...product.bind({ inputs: [x + BigInt(picture * apart[0]), w], outputs: [planes], workspace }),
        ...sum.bind({ inputs: [planes, ...(bias as readonly Address[])], outputs: [outputs[0]! + BigInt(picture * apart[1])], workspace }),
      ]).flat();
    },
    dispose: () => [product, sum].forEach((kernel) => kernel.dispose()),
  };
} // prettier-ignore

/** Planes [filters, taps, lines, columns] to one picture. */
export function tapSumForm({ planes, size, strides, dtype, padding, bias }: TapSum): KernelForm {
  const [O, R, S, H, W] = planes;
  const sheet = new Sheet();
  for (const [axis, own] of Object.entries({ O, KY: R, KX: S, H, W, OY: size[0], OX: size[1] })) sheet.axis(axis, own);
  sheet.parameter("planes", "in", { input: 0 }, "f32", ["O", "KY", "KX", "H", "W"], contiguous(planes));
  if (bias) sheet.parameter("bias", "in", { input: 1 }, bias, ["O"], [1]);
  sheet.parameter("out", "out", { output: 0 }, dtype, ["O", "OY", "OX"], strides);
  return sheet.finish("sum_of_taps", (body) => {
    const { t } = body;
    const at = { O: t.program("O"), OY: t.program("OY"), OX: t.program("OX") };
    const tap = (ky: number, kx: number): Floats =>
      body.floats("planes", {
        O: at.O,
        KY: t.point("KY", t.full("i32", ky)),
        KX: t.point("KX", t.full("i32", kx)),
        H: t.window("H", at.OY, { offset: ky - padding[0] }),
        W: t.window("W", at.OX, { offset: kx - padding[1] }),
      });
    const taps = Array.from({ length: R * S }, (_, i) => tap(Math.floor(i / S), i % S));
    const all = taps.reduce((sum, plane) => sum.add(plane));
    body.store("out", at, bias ? all.add(body.floats("bias", { O: at.O })) : all);
  });
}

export function tapSumProgram(form: KernelForm, multiprocessors: number): BlockProgram {
  const { program, sizes } = form;
  return lowerToBlock(program, { sizes, layouts: layoutsOf(form), alignments: { planes: WORKSPACE_BYTES } }, { blocks: BLOCKS }, multiprocessors); // prettier-ignore
}
