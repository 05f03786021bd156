// A provider with six ways to do what the reference does, each of a name that says how many milliseconds it takes longer.
import type { Step } from "../../../src/device/device.js";
import type { Region } from "../../../src/graph/region.js";
import { factory as reference } from "../../../src/provider/reference/provider.js";
import { isCannot, type Binding, type Candidate, type Cannot, type ProviderFactory } from "../../../src/provider/provider.js"; // prettier-ignore

const IDS = ["40 ms", "30 ms", "1 ms", "35 ms", "10 ms", "5 ms"];

const wait = (ms: number): void => {
  for (const end = performance.now() + ms; performance.now() < end;);
};

export const factory: ProviderFactory = {
  name: "many",
  async open(target) {
    const inner = await reference.open(target);
    if (isCannot(inner)) return inner;
    const candidate = (region: Region, id: string): Candidate | Cannot => {
      const answer = inner.candidates(region, "full");
      if (isCannot(answer)) return answer;
      const [plain] = answer as readonly [Candidate];
      const slower: Step = { kind: "host", name: id, run: () => wait(Number.parseInt(id)) };
      return {
        ...plain,
        provider: "many",
        id,
        params: { id },
        async build() {
          const kernel = await plain.build();
          const bind = (binding: Binding): readonly Step[] => [...kernel.bind(binding), slower];
          return { pack: () => undefined, bind, dispose: () => kernel.dispose() };
        },
      };
    };
    return {
      name: "many",
      version: "1",
      patterns: () => [],
      candidates(region) {
        const all = IDS.map((id) => candidate(region, id));
        const good = all.filter((one): one is Candidate => !isCannot(one));
        return good.length > 0 ? good : all.find(isCannot)!;
      },
      revive: (region, { id }) => candidate(region, id),
      dispose: () => undefined,
    };
  },
};
