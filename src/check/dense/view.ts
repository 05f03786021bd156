// Views computed as data, by the windows that the ops themselves give: what a chain of references needs between ops.
import { invariant } from "../../core/error.js";
import { contiguous, sizeOf } from "../../core/shape.js";
import { opOf } from "../../graph/ops.js";
import { StridedRuns } from "../strided-runs.js";
import type { DenseKernel } from "./kernel.js";

/** A view of one input (slice, transpose, reshape) by its window, a join by the windows of its inputs. */
export const viewKernel =
  (op: string): DenseKernel =>
  (params, inputs, outputs) => {
    const view = opOf({ op });
    return outputs.map((type, output) => {
      const out = new Float64Array(sizeOf(type.shape));
      if (view.joins) {
        const whole = { ...type, offset: 0, strides: contiguous(type.shape) };
        inputs.forEach((input, i) => {
          const { offset, strides } = view.joins!(params, inputs, i, whole);
          new StridedRuns(input.shape, strides).forEach((at, index, count, stride) => {
            for (let j = 0; j < count; j++) out[offset + at + j * stride] = input.data[index + j]!;
          });
        });
        return out;
      }
      const [x] = inputs;
      const window = view.window?.(params, { ...x!, offset: 0, strides: contiguous(x!.shape) }, output);
      invariant(window, `${op} of a dense tensor has no window`);
      new StridedRuns(type.shape, window.strides).forEach((at, index, count, stride) => {
        for (let j = 0; j < count; j++) out[index + j] = x!.data[window.offset + at + j * stride]!;
      });
      return out;
    });
  };
