// A library's first try that takes the process with it, for the tests.
export function smoke(): void {
  process.kill(process.pid, "SIGILL");
}
