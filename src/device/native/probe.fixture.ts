// What a probed module may do, for the tests: answer, crash, hang, leave, fail.

export function add(a: number, b: number): number {
  process.stdout.write("other output, without a newline");
  return a + b;
}

export function crash(): void {
  process.kill(process.pid, "SIGSEGV");
}

export const hang = (): Promise<never> =>
  new Promise(() => {
    setInterval(() => {}, 1000);
  });

export function leave(): void {
  process.exit(3);
}

export function fail(): void {
  throw new Error("it is broken");
}
