import assert from "node:assert/strict";
import { after, test } from "node:test";
import { openmpSettings, setNativeThreads } from "./debug.js";

const NAMES = ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "OMP_PROC_BIND", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "BLIS_NUM_THREADS"]; // prettier-ignore
const before = NAMES.map((name) => [name, process.env[name]] as const);
const reset = (): void => NAMES.forEach((name) => delete process.env[name]);
after(() => {
  reset();
  for (const [name, value] of before) if (value !== undefined) process.env[name] = value;
});

test("settings of OpenMP that are not the usual ones are told, in this process and in those that it starts", () => {
  reset();
  assert.equal(openmpSettings(), "");
  setNativeThreads(2);
  assert.equal(openmpSettings(), "", "what troupe sets itself is usual, whoever inherits it");
  reset();
  process.env["OMP_WAIT_POLICY"] = "PASSIVE";
  setNativeThreads(2);
  assert.equal(openmpSettings(), ", OMP_WAIT_POLICY=PASSIVE");
  reset();
  Object.assign(process.env, { GOMP_SPINCOUNT: "7", OMP_PROC_BIND: "true" });
  setNativeThreads(2);
  assert.match(openmpSettings(), /^, OMP_WAIT_POLICY=ACTIVE, GOMP_SPINCOUNT=7, KMP_BLOCKTIME=1, OMP_PROC_BIND=true$/);
});
