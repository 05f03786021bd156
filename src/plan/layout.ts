// Layouts as keys: equal orders of dims are equal strings, and the default order is the empty one.
import type { Layout } from "../provider/provider.js";
import type { LayoutKey } from "./cover-problem.js";

/** Row-major order written out is the default layout too. */
export const layoutKey = (layout: Layout): LayoutKey =>
  layout === undefined || layout.every((dim, d) => dim === d) ? "" : layout.join();

export const layoutOf = (key: LayoutKey): Layout => (key === "" ? undefined : key.split(",").map(Number));

export const showLayout = (layout: Layout): string => (layoutKey(layout) === "" ? "" : `@${layout!.join("")}`);
