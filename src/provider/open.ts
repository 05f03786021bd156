// Which providers there are, and opening them: each is a module with a factory, imported only when asked for.
import { withoutProviders } from "../core/debug.js";
import { messageOf } from "../core/error.js";
import type { Target } from "../device/device.js";
import { isCannot, type Provider, type ProviderFactory } from "./provider.js";

/** Where a provider comes from; plain data, so that another process can open the same. */
export interface ProviderSpec {
  readonly name: string;
  /** URL of a module that exports `factory: ProviderFactory`. */
  readonly module: string;
}

const own = (name: string): ProviderSpec => ({ name, module: new URL(`./${name}/provider.js`, import.meta.url).href });

/** One line a provider. The order breaks ties and is the order of choice while nothing is measured. */
export const PROVIDERS: readonly ProviderSpec[] = [
  own("cublaslt"),
  own("cudnn"),
  own("tile"),
  own("onednn"),
  own("blas"),
  own("libxsmm"),
  own("onnxruntime"),
  own("reference"),
];

export interface Opened {
  readonly providers: readonly Provider[];
  /** Those that are not available here, with a sentence each. */
  readonly cannot: readonly { readonly name: string; readonly reason: string }[];
  dispose(): void;
}

/**
 * Opens every provider of `specs` that works on this target. Never throws for a provider's sake.
 * @param before called with a spec's index before its library is loaded
 */
export async function openProviders(
  target: Target,
  specs: readonly ProviderSpec[] = PROVIDERS,
  before?: (index: number) => void,
): Promise<Opened> {
  const providers: Provider[] = [];
  const cannot: { name: string; reason: string }[] = [];
  const left = new Set(withoutProviders());
  for (const [index, spec] of specs.entries()) {
    before?.(index);
    const answer = left.has(spec.name) ? "left out by TROUPE_WITHOUT" : await openOne(spec, target);
    if (typeof answer === "string") cannot.push({ name: spec.name, reason: answer });
    else providers.push(answer);
  }
  const dispose = (): void => providers.forEach((provider) => provider.dispose());
  return { providers, cannot, dispose };
}

/** The provider, or why it is not available. */
async function openOne(spec: ProviderSpec, target: Target): Promise<Provider | string> {
  try {
    const { factory } = (await import(spec.module)) as { factory?: ProviderFactory };
    if (!factory) return `${spec.module} exports no factory`;
    const answer = await factory.open(target);
    return isCannot(answer) ? answer.cannot : answer;
  } catch (error) {
    return `opening it failed: ${messageOf(error)}`;
  }
}
