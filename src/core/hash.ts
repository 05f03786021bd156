// Stable keys: the same plain data gives the same key in any process.
import { createHash } from "node:crypto";

/** JSON with sorted object keys. */
export function canonical(data: unknown): string {
  return JSON.stringify(data, (_key, value: unknown) =>
    value !== null && typeof value === "object" && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
      : value,
  );
}

/** 16 hexadecimal digits of SHA-256 over the canonical form. */
export const hashOf = (data: unknown): string =>
  createHash("sha256")
    .update(typeof data === "string" ? data : canonical(data))
    .digest("hex")
    .slice(0, 16);
