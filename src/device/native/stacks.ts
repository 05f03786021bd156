// Room for native code: koffi runs a call on a stack of its own, by default of 128 KiB for calls off the JavaScript
// thread, which libraries and generated kernels overflow without a word. Imported for its effect, before any call.
import koffi from "koffi";
import { debug } from "../../core/debug.js";
import { messageOf } from "../../core/error.js";

/** What Linux gives a main thread; only touched pages cost memory. */
export const STACK_BYTES = 8 * 2 ** 20;

try {
  koffi.config({ sync_stack_size: STACK_BYTES, async_stack_size: STACK_BYTES });
} catch (error) {
  // Another part of the program loaded a library through koffi before: its stacks are what there is.
  debug(1, () => `native: ${messageOf(error)}`);
}

/** Whether calls off the JavaScript thread have the room that libraries count on. */
export const hasAsyncStacks = (): boolean => (koffi.config().async_stack_size ?? 0) >= STACK_BYTES;
