#!/usr/bin/env node
import "../dist/src/cli/thrift.js";
import { main } from "../dist/src/cli/main.js";

// Whoever reads the output may stop reading: `troupe explain MODEL | head`.
process.stdout.on("error", (error) => {
  if (error.code === "EPIPE") process.exit(0);
  process.stderr.write(`error (io): cannot write the output: ${error.message}\n  Make room where it goes.\n`);
  process.exit(7);
});
process.stderr.on("error", () => {});

process.exitCode = await main(process.argv.slice(2));
