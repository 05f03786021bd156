// Kills its process, as a wild pointer would.
import { misbehaving } from "../around-reference.js";

export const factory = misbehaving({
  name: "crash",
  after: () => {
    process.kill(process.pid, "SIGSEGV");
    for (;;); // signals are delivered between instructions; nothing after this one counts
  },
});
