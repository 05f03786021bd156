// oneDNN as a provider: which makers serve which ops, patterns for its post-ops, candidates and their revival.
import { openmpSettings } from "../../core/debug.js";
import { openOpenMp } from "../../device/native/openmp.js";
import type { Target } from "../../device/device.js";
import type { Node, NodeId, Params } from "../../graph/node.js";
import { firstTry } from "../../device/native/first-try.js";
import type { Region, Regions } from "../../graph/region.js";
import { chainPatterns, isView } from "../native/chain.js";
import {
  isCannot, type Candidate, type Cannot, type Choice, type Effort, type Provider, type ProviderFactory,
} from "../provider.js"; // prettier-ignore
import { makeAttention } from "./attention.js";
import { OneDnn } from "./binding.js";
import { convVariants, makeConv } from "./conv.js";
import { ONEDNN } from "./library.js";
import { candidateOf, unsupportedDType, type Maker } from "./form.js";
import {
  makeBinary,
  makeEltwise,
  makeReorder,
  makeUpsample,
  pointwiseVariants,
  upsampleVariants,
} from "./pointwise.js";
import { binaryOf, eltwiseOf, isLinkable, tooRough } from "./postop.js";
import { makeProduct, productVariants } from "./product.js";
import { makeGroupNorm, makeLayerNorm, makeSoftmax } from "./rows.js";

/** How regions that begin with an op are made, and in which ways. */
interface Family {
  readonly make: Maker;
  readonly variants: (region: Region) => readonly Params[];
  /** Whether pointwise ops that follow may be part of it. */
  readonly takesLinks: boolean;
}

const once = (make: Maker, takesLinks = false): Family => ({ make, variants: () => [{}], takesLinks });

const FAMILIES: Readonly<Record<string, Family>> = {
  linear: { make: makeProduct, variants: productVariants, takesLinks: true },
  matmul: { make: makeProduct, variants: productVariants, takesLinks: true },
  conv2d: { make: makeConv, variants: convVariants, takesLinks: true },
  group_norm: once(makeGroupNorm, true),
  layer_norm: once(makeLayerNorm),
  softmax: once(makeSoftmax),
  attention: once(makeAttention),
  upsample_nearest: { make: makeUpsample, variants: upsampleVariants, takesLinks: false },
  copy: once(makeReorder),
  cast: once(makeReorder),
};

function familyOf(node: Node): Family | undefined {
  const known = FAMILIES[node.op];
  if (known) return known;
  if (eltwiseOf(node)) return { make: makeEltwise, variants: pointwiseVariants, takesLinks: false };
  return binaryOf(node, 0) ? { make: makeBinary, variants: pointwiseVariants, takesLinks: true } : undefined;
}

class OneDnnProvider implements Provider {
  readonly name = "onednn";
  readonly version: string;

  constructor(private readonly dnn: OneDnn) {
    this.version = `${dnn.version}, ISA ${dnn.isa.toString(16)}${openmpSettings()}`;
  }

  patterns(regions: Regions): Iterable<readonly NodeId[]> {
    return chainPatterns(regions, (node) => familyOf(node)?.takesLinks ?? false, isLinkable);
  }

  candidates(region: Region, effort: Effort): readonly Candidate[] | Cannot {
    const found = this.#family(region);
    if (isCannot(found)) return found;
    const all = found.variants(region).map((params) => candidateOf(this.dnn, region, found.make, params));
    const good = all.filter((answer): answer is Candidate => !isCannot(answer));
    if (good.length === 0) return all.find(isCannot) ?? { cannot: "oneDNN has no form of this region" };
    return effort === "none" ? good.slice(0, 1) : good;
  }

  revive(region: Region, choice: Choice): Candidate | Cannot {
    const found = this.#family(region);
    return isCannot(found) ? found : candidateOf(this.dnn, region, found.make, choice.params);
  }

  dispose(): void {
    this.dnn[Symbol.dispose]();
  }

  #family(region: Region): Family | Cannot {
    const head = region.nodes.find((node) => !isView(node));
    const family = head && familyOf(head);
    if (!head || !family) return { cannot: `oneDNN ${this.dnn.version} has no ${head?.op ?? "empty region"}` };
    return unsupportedDType(region) ?? tooRough(region) ?? family;
  }
}

export const factory: ProviderFactory = {
  name: "onednn",
  open: async (target: Target): Promise<Provider | Cannot> => {
    if (target.device !== "cpu") return { cannot: "oneDNN 2 is used on the CPU only" };
    const tried = await firstTry({ queries: [ONEDNN], module: new URL("./smoke.js", import.meta.url).href });
    if (tried) return tried;
    const openMp = openOpenMp();
    if (!isCannot(openMp)) openMp.setThreads(target.threads);
    const dnn = OneDnn.open();
    return isCannot(dnn) ? dnn : new OneDnnProvider(dnn);
  },
};
