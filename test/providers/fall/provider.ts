// Dies in native code where FALL says so: right while it is tried, wrong one day in a run.
import koffi from "koffi";
import { misbehaving } from "../around-reference.js";

const SIGSEGV = 11;
const falls = process.env.FALL === "yes";

export const factory = misbehaving({
  name: "fall",
  step: {
    kind: "native",
    name: "fall",
    fn: koffi.address(koffi.load(null).symbol(falls ? "raise" : "abs")),
    words: [SIGSEGV],
    status: "ignored",
  },
});
