// A provider that is right, whose name and version its URL says, and that writes a line to a file whenever it runs.
import { appendFileSync } from "node:fs";
import { misbehaving } from "../around-reference.js";

const { searchParams } = new URL(import.meta.url);
const of = (key: string): string => searchParams.get(key) ?? "";

export const factory = misbehaving({
  name: of("name"),
  version: of("version"),
  after: () => appendFileSync(of("log"), `${of("name")}\n`),
});
