// Works where it is opened first, and ends every process that the tuner opens it in.
import { misbehaving } from "../around-reference.js";

if (process.send) process.exit(3);

export const factory = misbehaving({ name: "mortal", after: () => undefined });
