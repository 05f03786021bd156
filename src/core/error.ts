// Every failure a user can meet is a TroupeError: a stable code, what happened to what, and what to do about it.

/** Stable codes; scripts may rely on them. The exit status of the command line follows from the code's family. */
export type ErrorCode =
  | "usage" // the call or the command line is wrong
  | "model" // a folder, config, tokenizer or weight file cannot be used
  | "weights" // a tensor is missing, misshapen, of an unknown dtype or not finite
  | "shape" // an op got operands that do not fit
  | "trace" // a tile kernel text is wrong
  | "provider" // a provider's library is missing, foreign or failed
  | "compile" // generated code did not compile
  | "plan" // a stored plan does not fit this model, machine or version
  | "memory" // it does not fit the device
  | "io" // a file cannot be read or written
  | "value" // a result is wrong beyond its tolerance
  | "cancelled" // an AbortSignal or Ctrl-C ended it
  | "internal"; // a broken invariant: a bug in troupe

export interface ErrorOptions {
  /** One sentence: what the user can do. */
  readonly advice?: string;
  readonly cause?: unknown;
  /** Facts for programs: op, shapes, provider, file… */
  readonly details?: Readonly<Record<string, unknown>>;
}

export class TroupeError extends Error {
  override readonly name = "TroupeError";
  readonly code: ErrorCode;
  readonly advice: string | undefined;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, message: string, options: ErrorOptions = {}) {
    super(
      code === "internal" ? `internal: ${message}` : message,
      options.cause === undefined ? {} : { cause: options.cause },
    );
    this.code = code;
    this.advice = options.advice;
    this.details = options.details ?? {};
  }
}

/** Throws an internal error unless `condition` holds. */
export function invariant(condition: unknown, message: string): asserts condition {
  if (!condition) throw new TroupeError("internal", message);
}

/** The message of anything thrown. */
export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Semantic exit statuses of the command line. */
export const EXIT: Readonly<Record<ErrorCode, number>> = {
  usage: 2, model: 3, weights: 3, shape: 3, trace: 3, provider: 4, compile: 4, plan: 5, memory: 6, io: 7, value: 1,
  cancelled: 130, internal: 70,
}; // prettier-ignore
