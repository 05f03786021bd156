// Provider libraries that are missing, of another version, without a symbol, or no libraries at all: an answer with the
// reason, and the rest of the machine goes on. The libraries are tiny and built here.
import assert from "node:assert/strict";
import { execFile, execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { isCannot } from "../src/device/native/found.js";
import { openLibrary } from "../src/device/native/library.js";
import { openBlas } from "../src/provider/blas/binding.js";
import { linkLibxsmm } from "../src/provider/libxsmm/library.js";
import { openOneDnn } from "../src/provider/onednn/library.js";
import { openOnnxRuntime } from "../src/provider/onnxruntime/library.js";

const skip = spawnSync("cc", ["--version"]).status === 0 ? false : "no C compiler to build libraries with";
const folder = mkdtempSync(join(tmpdir(), "troupe-libraries-"));
after(() => rmSync(folder, { recursive: true, force: true }));

let built = 0;
/** A shared library of this source. */
function library(source: string, ...flags: readonly string[]): string {
  const file = join(folder, `lib${built++}.so`);
  execFileSync("cc", ["-shared", "-fPIC", "-x", "c", "-", "-o", file, "-x", "none", ...flags], { input: source });
  return file;
}

/** Why not. */
const why = (answer: object): string => (isCannot(answer) ? answer.cannot : "it was opened");

const dnnl = (version: string): string =>
  `static const int v[] = {${version}}; const void *dnnl_version(void) { return v; } int dnnl_primitive_execute(void) { return 0; }`;

describe("a provider's library", { skip }, () => {
  it("of another version is refused with both versions", () => {
    for (const version of ["3, 4, 1", "1, 9, 0", "2, 5, 0"]) {
      const file = library(dnnl(version));
      const said = why(openOneDnn([file]));
      assert.ok(said.includes(`oneDNN ${version.replaceAll(", ", ".")} (${file})`), said);
      assert.match(said, /versions 2\.6 to 2\.7 are understood/);
    }
    const old = library(
      'static void *api(unsigned v) { return 0; } static const char *version(void) { return "1.2.3"; } static void *base[] = {api, version}; void *OrtGetApiBase(void) { return base; }',
    );
    assert.match(why(openOnnxRuntime([old])), /^ONNX Runtime 1\.2\.3 \(.*\) is older than its interface/);
    const wide = library(
      'const char *openblas_get_config(void) { return "OpenBLAS 0.3 USE64BITINT"; } void openblas_set_num_threads(int n) {} void sgemm_(void) {} void sgemv_(void) {}',
    );
    assert.match(why(openBlas("openblas", [wide])), /takes 64-bit integers/);
  });

  it("without a symbol is refused with the symbol's name", () => {
    assert.match(why(openOneDnn([library("int dnnl_version(void) { return 0; }")])), /it has no symbol dnnl_primitive_execute\. Debian/); // prettier-ignore
    const hollow = why(openOneDnn([library(dnnl("2, 6, 3"))]));
    assert.match(hollow, /has no function dnnl_engine_create, .*dnnl_matmul_desc_init/);
    assert.match(why(openOnnxRuntime([library("int x;")])), /it has no symbol OrtGetApiBase/);
    assert.match(why(openBlas("openblas", [library("void sgemm_(void) {}")])), /it has no symbol .*sgemv_/);
  });

  it("that answers with nothing is refused, not read", () => {
    const nothing = library("void *dnnl_version(void) { return 0; } int dnnl_primitive_execute(void) { return 0; }");
    assert.match(why(openOneDnn([nothing])), /tells no version/);
    assert.match(why(openOnnxRuntime([library("void *OrtGetApiBase(void) { return 0; }")])), /gives no interface/);
  });

  it("that is no library, is cut short or needs another that is missing says so", () => {
    const text = join(folder, "text.so");
    writeFileSync(text, "not a library\n");
    assert.match(why(openOneDnn([text])), /text\.so: .*(ELF|header|format|too short)/);
    const empty = join(folder, "empty.so");
    writeFileSync(empty, "");
    assert.match(why(openOneDnn([empty])), /empty\.so: .*(too short|empty)/);
    const cut = library(dnnl("2, 6, 3"));
    truncateSync(cut, 100);
    assert.match(why(openOneDnn([cut])), /oneDNN cannot be loaded: .*lib\d+\.so: /);
    const needed = library("int needed(void) { return 1; }", "-Wl,-soname,libneeded.so.9");
    const needing = library("int needed(void); int first(void) { return needed(); }", needed);
    const query = { name: "It", files: [needing], requires: ["first"], advice: "Install it." };
    assert.match(why(openLibrary(query)), /It cannot be loaded: .*libneeded\.so\.9: cannot open shared object file/);
    assert.match(why(openOneDnn([join(folder, "none.so")])), /none of .*none\.so is installed\. Debian and Ubuntu/);
  });

  it("that is linked by the compiler is refused where the library, its header or the compiler is missing", async () => {
    const { TROUPE_CC } = process.env;
    const without = async (name: string, script: string): Promise<string> => {
      process.env.TROUPE_CC = join(folder, name);
      writeFileSync(process.env.TROUPE_CC, `#!/bin/sh\n${script}\nexec cc "$@"\n`, { mode: 0o755 });
      return why(await linkLibxsmm());
    };
    try {
      const noLibrary = await without("cc-no-library", 'case "$1" in -print-file-name=*) echo libxsmm.a; exit;; esac');
      assert.match(noLibrary, /cannot be linked: .*cc-no-library finds no libxsmm\.a\. Debian and Ubuntu have it/);
      const there = library("int a;").replace(/so$/, "a");
      writeFileSync(there, "!<arch>\n");
      const found = `case "$1" in -print-file-name=*) echo ${there}; exit;; esac\n`;
      const noHeader = await without(
        "cc-no-header",
        `${found}case "$*" in *lxsmm*) set -- -nostdinc -I/dev "$@";; esac`,
      );
      assert.match(noHeader, /libxsmm \(.*\.a\) cannot be linked: .*libxsmm\.h: No such file.* Debian and Ubuntu/);
      process.env.TROUPE_CC = "none";
      assert.match(why(await linkLibxsmm()), /is linked by a C compiler: TROUPE_CC turns C compilation off/);
    } finally {
      if (TROUPE_CC === undefined) delete process.env.TROUPE_CC;
      else process.env.TROUPE_CC = TROUPE_CC;
    }
  });

  it("of another version, found first by the loader's path, leaves doctor with the reason and status 0", async () => {
    execFileSync("cc", ["-shared", "-fPIC", "-x", "c", "-", "-o", join(folder, "libdnnl.so.2")], { input: dnnl("3, 4, 1") }); // prettier-ignore
    const env = {
      ...process.env,
      TROUPE_LIBRARY_PATH: folder,
      TROUPE_DEBUG: "",
      TROUPE_WITHOUT: "tile,blas,libxsmm,onnxruntime",
    };
    const { status, out } = await new Promise<{ status: number; out: string }>((resolve) => {
      execFile(process.execPath, ["bin/troupe.js", "doctor", "--json"], { env }, (error, stdout) =>
        resolve({ status: error === null ? 0 : Number(error.code), out: stdout }),
      );
    });
    assert.equal(status, 0, out);
    const lines = out.trim().split("\n").map((line) => JSON.parse(line) as Record<string, string>); // prettier-ignore
    const missing = lines.find(({ kind, name }) => kind === "missing" && name === "onednn");
    assert.match(missing?.reason ?? "", /oneDNN 3\.4\.1 \(.*libdnnl\.so\.2\) has another C interface/);
    assert.ok(lines.some(({ kind, name }) => kind === "provider" && name === "reference"));
  });
});
