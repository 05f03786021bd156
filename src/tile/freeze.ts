// Deep freezing of plain data.

export function freeze<T>(data: T): T {
  if (data === null || typeof data !== "object" || Object.isFrozen(data)) return data;
  for (const part of Object.values(data)) freeze(part);
  return Object.freeze(data);
}
