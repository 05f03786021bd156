// One worker process that is started when needed and again after it died, with the same providers minus those that do not
// survive being opened. One and not several: times are only worth something on quiet cores.
import { rmSync } from "node:fs";
import { hashOf } from "../core/hash.js";
import type { Target } from "../device/device.js";
import { graphData, type Graph, type NodeId } from "../graph/node.js";
import type { Region } from "../graph/region.js";
import type { ProviderSpec } from "../provider/open.js";
import { TunerChild, type Failed, type Gone, type Limits } from "./child.js";
import type { Board } from "./board.js";
import { workOf } from "./worker/expectation.js";
import type { Reply, TryRequest } from "./worker/messages.js";

export interface WorkerOptions extends Limits {
  readonly specs: readonly ProviderSpec[];
  readonly target: Target;
  readonly journal: string;
  readonly signal?: AbortSignal | undefined;
}

type Opened = Extract<Reply, { kind: "opened" }>;

export class Worker implements AsyncDisposable {
  readonly #options: WorkerOptions;
  readonly #lost = new Map<string, string>();
  readonly #graphs = new Map<Graph, { readonly key: string; readonly data: ReturnType<typeof graphData> }>();
  #child: TunerChild | undefined;
  #opened: Opened | undefined;
  readonly #onAbort = (): void => this.#child?.kill("cancelled", "was cancelled");

  constructor(options: WorkerOptions) {
    this.#options = options;
    options.signal?.addEventListener("abort", this.#onAbort);
  }

  /** Opens the providers; those that take the process with them are left out. Undefined when cancelled. */
  async open(): Promise<Opened | undefined> {
    while (!this.#options.signal?.aborted) {
      if (this.#child && this.#opened) return this.#opened;
      const { specs, target, journal } = this.#options;
      const kept = specs.filter((spec) => !this.#lost.has(spec.name));
      this.#child = new TunerChild(journal, this.#options);
      const answer = await this.#child.open({ kind: "open", specs: kept, target, journal });
      if (answer.kind === "opened") {
        const lost = [...this.#lost].map(([name, reason]) => ({ name, reason }));
        this.#opened = { ...answer, cannot: [...answer.cannot, ...lost] };
        return this.#opened;
      }
      this.#child = undefined;
      if (answer.how === "cancelled") return undefined;
      const culprit = kept[answer.mark.index];
      if (answer.mark.phase !== "opening" || !culprit)
        return {
          kind: "opened",
          versions: {},
          cannot: kept.map(({ name }) => ({ name, reason: `its process ${answer.what}` })),
        };
      this.#lost.set(culprit.name, `opening it ${answer.what}`);
    }
    return undefined;
  }

  /** Name of the provider with this number among those opened. */
  providerAt(index: number): string {
    return Object.keys(this.#opened?.versions ?? {})[index] ?? "unknown";
  }

  /** Node sets that the providers want as one; none where the process did not survive the question. */
  async patterns(graph: Graph): Promise<readonly (readonly NodeId[])[]> {
    if (!(await this.open()) || !this.#child) return [];
    const { key, data } = this.#graph(graph);
    this.#child.sendGraph({ kind: "graph", key, data });
    const answer = await this.#child.patterns({ kind: "patterns", graph: key });
    if (answer.kind === "patterns") return answer.sets;
    this.#child = undefined;
    return [];
  }

  /** Tries a region; what becomes known goes to the board. */
  async try(
    region: Region,
    request: Omit<TryRequest, "kind" | "graph" | "ahead">,
    board: Board,
    next: readonly Region[] = [],
  ): Promise<Gone | Failed | undefined> {
    const cancelled: Gone = {
      kind: "gone",
      how: "cancelled",
      what: "was cancelled",
      mark: { phase: "idle", index: -1, count: 0 },
    };
    if (!(await this.open()) || !this.#child) return cancelled;
    const { graph } = this.#sent(region);
    const ahead = next.map((one) => this.#sent(one));
    const gone = await this.#child.try({ ...request, kind: "try", graph, ahead }, (reply) => {
      if (reply.kind === "asked") board.asked(reply.candidates, reply.methods, reply.cannot);
      else if (reply.kind === "judged") board.judge(reply.key, reply.verdict, reply.error);
      else if (reply.kind === "passed") board.pass(reply.key, reply.reason);
      else if (reply.kind === "timed") {
        for (const { key: name, us } of reply.samples) board.timed(name, us);
        if (reply.clock) board.clocked(reply.clock);
      }
    });
    if (gone?.kind === "gone") this.#child = undefined;
    return gone;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#options.signal?.removeEventListener("abort", this.#onAbort);
    await this.#child?.stop();
    this.#child = undefined;
    rmSync(this.#options.journal, { force: true });
  }

  /** A region by names that the worker knows; it is told of the graph before. */
  #sent(region: Region): { readonly graph: string; readonly nodes: readonly NodeId[] } {
    const { key, data } = this.#graph(region.graph);
    this.#child!.sendGraph({ kind: "graph", key, data });
    return { graph: key, nodes: workOf(region).map((node) => node.id) };
  }

  #graph(graph: Graph): { readonly key: string; readonly data: ReturnType<typeof graphData> } {
    let known = this.#graphs.get(graph);
    if (!known) {
      const data = graphData(graph);
      this.#graphs.set(graph, (known = { key: hashOf(data), data }));
    }
    return known;
  }
}
