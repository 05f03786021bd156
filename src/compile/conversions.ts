// Bringing a value from one layout into another: the first provider that can copy strided tensors does it.
import { dtypeBytes } from "../core/dtype.js";
import { sizeOf } from "../core/shape.js";
import type { TensorType } from "../graph/node.js";
import type { Region } from "../graph/region.js";
import { conversionRegion } from "../plan/conversion.js";
import { layoutKey } from "../plan/layout.js";
import type { ConversionChoice, SelectOptions } from "../plan/select.js";
import { isCannot, type Provider } from "../provider/provider.js";

/** A transposing copy moves about this many bytes a microsecond and starts in this time. */
const BYTES_PER_US = 4_000;
const START_US = 4;

/** For `select`: how to convert, with an estimate of its time. */
export function conversionsBy(providers: readonly Provider[]): NonNullable<SelectOptions["conversionOf"]> {
  const known = new Map<string, ConversionChoice | undefined>();
  return (type, from, to) => {
    const key = `${type.dtype} ${type.shape.join()} ${layoutKey(from)} ${layoutKey(to)}`;
    if (!known.has(key)) known.set(key, choose(type, providers, conversionRegion(type, from, to)));
    return known.get(key);
  };
}

function choose(type: TensorType, providers: readonly Provider[], region: Region): ConversionChoice | undefined {
  for (const provider of providers) {
    const answer = provider.candidates(region, "none");
    if (isCannot(answer) || !answer[0]) continue;
    const { id, params, workspaceBytes, estimateUs } = answer[0];
    const us = estimateUs ?? START_US + (2 * sizeOf(type.shape) * dtypeBytes(type.dtype)) / BYTES_PER_US;
    return { choice: { provider: provider.name, id, params }, workspaceBytes, us };
  }
  return undefined;
}
