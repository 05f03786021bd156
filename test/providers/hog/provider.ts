// Takes memory without end, as a search over workspaces might.
import { misbehaving } from "../around-reference.js";

export const factory = misbehaving({
  name: "hog",
  after: () => {
    const blocks: Buffer[] = [];
    for (;;) blocks.push(Buffer.alloc(32 * 2 ** 20, 1));
  },
});
