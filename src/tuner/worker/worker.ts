// The worker process of the tuner: it opens the providers and tries candidates, and may die of them.
import { messageOf } from "../../core/error.js";
import { reviveGraph } from "../../graph/node.js";
import { Regions } from "../../graph/region.js";
import { nativeEngine } from "../../check/dense/native-engine.js";
import { scalarEngine, type ProductEngine } from "../../check/dense/product.js";
import { isCannot } from "../../device/native/found.js";
import { openClock, type Clock } from "../../device/cpu/clock.js";
import { openDevice } from "../../device/open.js";
import { lastCacheBytes } from "../../device/cpu/target.js";
import type { Device } from "../../device/device.js";
import { takeBlocksFrom } from "../../device/native/memory.js";
import { hostBlocks } from "../../device/cuda/host-blocks.js";
import { cudaDevice } from "../../device/cuda/target.js";
import { openProviders, type Opened } from "../../provider/open.js";
import { remembering } from "../device/ahead.js";
import { attempt } from "./attempt.js";
import { attemptOnDevice } from "../device/attempt.js";
import { JournalWriter } from "../journal/journal.js";
import type { EndRequest, Reply, Request, TryRequest } from "./messages.js";
import { forecastOf, type Forecast } from "../shapes/forecast.js";
import { Stopwatch } from "../shapes/stopwatch.js";

interface Session {
  readonly device: Device;
  readonly opened: Opened;
  readonly journal: JournalWriter;
  readonly engine: ProductEngine;
  readonly stopwatch: Stopwatch;
  readonly clock: Clock | undefined;
  readonly forecast: Forecast;
}

const graphs = new Map<string, Regions>();
let session: Session | undefined;

const send = (reply: Reply): void => void process.send?.(reply);

async function answer(request: Request): Promise<void> {
  switch (request.kind) {
    case "open": {
      const journal = new JournalWriter(request.journal);
      // Values are compared on the host, so operands lie in its memory, where the device reads them too.
      if (request.target.device === "cuda") takeBlocksFrom(hostBlocks(cudaDevice()));
      const device = await openDevice(request.target);
      const found = await openProviders(request.target, request.specs, (index) => journal.mark("opening", index));
      const opened = device.numbers ? { ...found, providers: found.providers.map(remembering) } : found;
      const native = await nativeEngine();
      const stopwatch = new Stopwatch(device, lastCacheBytes());
      const clock = request.target.device === "cpu" ? await openClock(device) : undefined;
      const forecast = forecastOf(request.target, opened.providers);
      session = { device, opened, journal, stopwatch, clock, forecast, engine: isCannot(native) ? scalarEngine : native }; // prettier-ignore
      journal.mark("idle", -1);
      const versions = Object.fromEntries(opened.providers.map(({ name, version }) => [name, version]));
      return send({ kind: "opened", versions, cannot: opened.cannot });
    }
    case "graph": {
      graphs.set(request.key, new Regions(reviveGraph(request.data)));
      return;
    }
    case "try": {
      const regionOf = ({ graph, nodes }: Pick<TryRequest, "graph" | "nodes">) => graphs.get(graph)!.region(nodes);
      const { opened, ...tools } = session!;
      const ahead = (request.ahead ?? []).map(regionOf);
      const all = { ...tools, providers: opened.providers, send };
      const { timing } = request;
      // Times come from a device's own memory alone; values without times are compared with float64 on the host.
      if (tools.device.numbers && timing) await attemptOnDevice(regionOf(request), { ...request, timing }, all, ahead);
      else await attempt(regionOf(request), request, all);
      return send({ kind: "done" });
    }
    case "patterns": {
      const regions = graphs.get(request.graph)!;
      const { opened, journal } = session!;
      const sets = opened.providers.flatMap((provider, index) => {
        journal.mark("asking", index);
        return [...provider.patterns(regions)].map((ids) => [...ids]);
      });
      journal.mark("idle", -1);
      return send({ kind: "patterns", sets });
    }
    default:
      return request satisfies never;
  }
}

/** Nobody wants the result any more, and what is running did nothing wrong. */
function leave(): never {
  session?.journal.mark("idle", -1);
  process.exit(0);
}

let queue = Promise.resolve();
process.on("message", (request: Request | EndRequest) => {
  if (request.kind === "end") leave();
  queue = queue
    .then(() => answer(request))
    .catch((error: unknown) => {
      send({ kind: "failed", message: error instanceof Error ? (error.stack ?? error.message) : messageOf(error) });
    });
});
// Ctrl-C reaches every process of a terminal's group. The tuner decides what it means; nothing here has crashed of it.
process.on("SIGINT", () => {});
// The tuner is gone.
process.on("disconnect", leave);
