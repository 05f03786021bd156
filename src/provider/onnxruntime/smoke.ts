// The first try of ONNX Runtime, in a child process: a model of one node.
import { isCannot, type Cannot } from "../../device/native/found.js";
import { NativeMemory } from "../../device/native/memory.js";
import { OnnxRuntime, type OrtTensor } from "./binding.js";
import { encodeModel, type OnnxValue } from "./onnx.js";

export function smoke(): Cannot | undefined {
  const ort = OnnxRuntime.open({ threads: 1 });
  if (isCannot(ort)) return ort;
  const value = (name: string): OnnxValue => ({ name, dtype: "f32", shape: [4, 4] });
  const session = ort.session(
    encodeModel({
      name: "smoke",
      inputs: [value("x")],
      outputs: [value("y")],
      initializers: [],
      nodes: [{ op: "MatMul", inputs: ["x", "x"], outputs: ["y"] }],
    }),
  );
  if (isCannot(session)) return session;
  const [x, y] = [new NativeMemory(64), new NativeMemory(64)];
  new Float32Array(x.view()).fill(1);
  const tensor = (name: string, { address, bytes }: NativeMemory): OrtTensor => ({ ...value(name), address, bytes });
  ort.run(session, [tensor("x", x)], [tensor("y", y)]);
  const right = new Float32Array(y.view()).every((number) => number === 4);
  return right ? undefined : { cannot: `ONNX Runtime ${ort.version} multiplies wrongly on this CPU` };
}
