#!/usr/bin/env node
import { main } from "../dist/src/cli/main.js";

// Whoever reads the output may stop reading: `troupe explain MODEL | head`.
process.stdout.on("error", (error) => process.exit(error.code === "EPIPE" ? 0 : 7));

process.exitCode = await main(process.argv.slice(2));
