// What the benchmark and the process that measures for it say to each other.
import type { ErrorCode } from "../../core/error.js";
import type { Measured, MeasureEvent, MeasureRequest } from "./measure.js";

export type Order = { readonly kind: "measure"; readonly request: MeasureRequest } | { readonly kind: "cancel" };

export type Answer =
  | { readonly kind: "event"; readonly event: MeasureEvent }
  | { readonly kind: "measured"; readonly measured: Measured }
  | {
      readonly kind: "failed";
      readonly code: ErrorCode;
      readonly message: string;
      readonly advice?: string;
      readonly stack?: string;
    };
