// Never returns, as a thread pool in deadlock would.
import { misbehaving } from "../around-reference.js";

export const factory = misbehaving({
  name: "hang",
  after: () => {
    for (;;);
  },
});
