// Probe: a library of another version than the one understood is a "cannot" with the reason, found before anything of
// it is called but its version.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { compilerCommand } from "../src/core/debug.js";
import { isCannot } from "../src/provider/provider.js";
import { openOneDnn } from "../src/provider/onednn/library.js";

const folder = mkdtempSync(join(tmpdir(), "troupe-cannot-"));
after(() => rmSync(folder, { recursive: true, force: true }));

/** A library that knows nothing but which version of oneDNN it is; any other call ends the process. */
function libraryOf(cc: string, [major, minor, patch]: readonly number[]): string {
  const name = join(folder, `dnnl-${major}.${minor}.${patch}`);
  const version = `static const int version[6] = { ${major}, ${minor}, ${patch} };`;
  writeFileSync(
    `${name}.c`,
    `#include <stdlib.h>\n${version}\nconst void *dnnl_version(void) { return version; }\nint dnnl_primitive_execute(void) { abort(); }\n`,
  );
  execFileSync(cc, ["-shared", "-fPIC", "-o", `${name}.so`, `${name}.c`]);
  return `${name}.so`;
}

const cc = compilerCommand();
describe("a library that is not understood", { skip: cc === undefined && "there is no C compiler" }, () => {
  for (const [version, why] of [
    [[3, 4, 1], /oneDNN 3\.4\.1 .*another C interface; versions 2\.6/],
    [[1, 96, 0], /oneDNN 1\.96\.0 .*another C interface/],
    [[2, 5, 0], /oneDNN 2\.5\.0 .*another C interface/],
    [[2, 7, 0], /dnnl_\w+/], // the right version, but what it should export is not there
  ] as const)
    it(`oneDNN ${version.join(".")} cannot, with the reason`, () => {
      const found = openOneDnn([libraryOf(cc!, version)]);
      assert.match(isCannot(found) ? found.cannot : "opened", why);
    });
});
