// Providers for tests that do what the reference does, and then something a provider must not do.
import type { Address, Step } from "../../src/device/device.js";
import type { Region } from "../../src/graph/region.js";
import { factory as reference } from "../../src/provider/reference/provider.js";
import { isCannot, type Binding, type Candidate, type ProviderFactory } from "../../src/provider/provider.js";

export interface Misdeed {
  readonly name: string;
  readonly version?: string;
  /** Runs after the right result was written. */
  readonly after?: (region: Region, outputs: readonly Address[], binding: Binding) => void;
  /** The same as a native step. */
  readonly step?: Step;
}

export const misbehaving = ({ name, version = "1", after, step }: Misdeed): ProviderFactory => ({
  name,
  async open(target) {
    const inner = await reference.open(target);
    if (isCannot(inner)) return inner;
    const spoil = (region: Region, candidate: Candidate): Candidate => ({
      ...candidate,
      provider: name,
      aliases: [],
      async build() {
        const kernel = await candidate.build();
        const bind = (binding: Binding): readonly Step[] => [
          ...kernel.bind(binding),
          step ?? { kind: "host", name, run: () => after?.(region, binding.outputs, binding) },
        ];
        return { pack: () => undefined, bind, dispose: () => kernel.dispose() };
      },
    });
    return {
      name,
      version,
      patterns: () => [],
      candidates(region, effort) {
        const answer = inner.candidates(region, effort);
        return isCannot(answer) ? answer : answer.map((candidate) => spoil(region, candidate));
      },
      revive(region, choice) {
        const answer = inner.revive(region, choice);
        return isCannot(answer) ? answer : spoil(region, answer);
      },
      dispose: () => inner.dispose(),
    };
  },
});
