// The C library's heap made thrifty: blocks from 1 MiB on go back to the system as soon as they are freed, and all
// threads share one heap. As it comes, glibc keeps what was freed in as many heaps as there are threads.
import koffi from "koffi";

/** The parameters' numbers in malloc.h. */
const MMAP_THRESHOLD = -3;
const ARENA_MAX = -8;

/** For whole processes: call it before threads are started. Does nothing where there is no such heap. */
export function makeHeapThrifty(): void {
  try {
    const mallopt = koffi.load(null).func("int mallopt(int, int)") as (parameter: number, value: number) => number;
    mallopt(MMAP_THRESHOLD, 2 ** 20);
    mallopt(ARENA_MAX, 1);
  } catch {
    // Another C library manages its heap in its own way.
  }
}
