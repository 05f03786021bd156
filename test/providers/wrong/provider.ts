// Returns one element that is wrong by two percent.
import { HostTensor } from "../../../src/check/host-tensor.js";
import { misbehaving } from "../around-reference.js";

export const factory = misbehaving({
  name: "wrong",
  after(region, outputs) {
    const tensor = new HostTensor(region.outputs[0]!, outputs[0]!);
    const data = tensor.read();
    const worst = data.reduce((best, x, i) => (Math.abs(x) > Math.abs(data[best]!) ? i : best), 0);
    data[worst]! *= 1.02;
    tensor.write(data);
  },
});
