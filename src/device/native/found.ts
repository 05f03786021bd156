// "Cannot" as an ordinary answer: what probing returns instead of throwing.

/** Why something is not available: one sentence that names the thing and the reason. */
export interface Cannot {
  readonly cannot: string;
}

export type Found<T extends object> = T | Cannot;

export const isCannot = (answer: object): answer is Cannot => "cannot" in answer;
