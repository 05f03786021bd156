// Writes one element behind its output.
import { bytesAt, spanBytes } from "../../../src/check/host-tensor.js";
import { misbehaving } from "../around-reference.js";

export const factory = misbehaving({
  name: "outside",
  after(region, outputs) {
    const end = outputs[0]! + BigInt(spanBytes(region.outputs[0]!));
    new Uint8Array(bytesAt(end, 4)).fill(0);
  },
});
