// The region that a step of a plan computes.
import type { Region, Regions } from "../graph/region.js";
import { conversionRegion } from "./conversion.js";
import type { PlanStep } from "./plan.js";

export const stepRegion = (step: PlanStep, regions: Regions): Region =>
  step.kind === "region"
    ? regions.region(step.nodes)
    : conversionRegion(regions.graph.values[step.value]!, step.from, step.to);
