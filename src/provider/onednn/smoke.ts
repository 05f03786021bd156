// The first try of oneDNN, in a child process: a small product through generated code.
import { isCannot, type Cannot } from "../../device/native/found.js";
import { NativeMemory } from "../../device/native/memory.js";
import { OneDnn, type Tensor } from "./binding.js";
import { ARG } from "./constants.js";

export function smoke(): Cannot | undefined {
  const dnn = OneDnn.open();
  if (isCannot(dnn)) return dnn;
  const size = 32;
  const tensor: Tensor = { dims: [size, size], dtype: "f32", strides: [size, 1] };
  const primitive = dnn.matmul({ src: tensor, weights: tensor, dst: tensor });
  if (isCannot(primitive)) return primitive;
  const [src, weights, dst] = [0, 1, 2].map(() => new NativeMemory(size * size * 4)) as [NativeMemory, NativeMemory, NativeMemory]; // prettier-ignore
  const scratchpad = new NativeMemory(primitive.scratchpadBytes);
  for (const memory of [src, weights]) new Float32Array(memory.view()).fill(1);
  const table = new Map([[ARG.src, src.address], [ARG.weights, weights.address], [ARG.dst, dst.address]] as [number, bigint][]); // prettier-ignore
  if (primitive.scratchpadBytes > 0) table.set(ARG.scratchpad, scratchpad.address);
  dnn.run(primitive, table);
  const right = new Float32Array(dst.view()).every((x) => x === size);
  return right ? undefined : { cannot: `oneDNN ${dnn.version} multiplies wrongly on this CPU` };
}
