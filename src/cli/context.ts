// What a command gets besides its arguments.

export interface CommandContext {
  readonly signal: AbortSignal;
  /** Sets the exit status of a command that ended without an error. */
  readonly exit: (code: number) => void;
}
