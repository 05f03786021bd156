// Changes what it should only read, as a kernel that works in place by mistake does.
import koffi from "koffi";
import { misbehaving } from "../around-reference.js";

export const factory = misbehaving({
  name: "meddle",
  after: (region, _outputs, { inputs }) => {
    if (region.inputs[0]) new Uint8Array(koffi.view(inputs[0]!, 1))[0]! ^= 1;
  },
});
