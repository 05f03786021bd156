// Imported before everything else by the command: memory is for weights. JavaScript here is short work between long
// native calls, so its heap gains nothing from growing ahead of need.
import v8 from "node:v8";
import { makeHeapThrifty } from "../device/native/heap.js";

v8.setFlagsFromString("--optimize-for-size");
v8.setFlagsFromString("--semi-space-growth-factor=1");
makeHeapThrifty();
