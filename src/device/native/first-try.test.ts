import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { firstTry } from "./first-try.js";

const at = (name: string): string => new URL(`./${name}.fixture.js`, import.meta.url).href;
const query = { name: "libm", files: ["libm.so.6"], requires: ["cos"], advice: "" };
const wider = { ...query, files: ["libm.so.6", "libc.so.6"] };

describe("the first try of a library", () => {
  it("is remembered when it went well, and made again when the files are others", async () => {
    const folder = await mkdtemp(join(tmpdir(), "troupe-tried-"));
    assert.equal(await firstTry({ queries: [query], module: at("good-try"), folder }), undefined);
    assert.equal(await firstTry({ queries: [query], module: at("bad-try"), folder }), undefined);
    assert.match((await firstTry({ queries: [wider], module: at("bad-try"), folder }))!.cannot, /SIGILL/);
    await rm(folder, { recursive: true });
  });

  it("turns a crash into a sentence, every time", async () => {
    const folder = await mkdtemp(join(tmpdir(), "troupe-tried-"));
    for (let round = 0; round < 2; round++) {
      const answer = await firstTry({ queries: [query], module: at("bad-try"), folder });
      assert.deepEqual(answer, { cannot: "libm crashed with SIGILL at a first try" });
    }
    await rm(folder, { recursive: true });
  });

  it("works without a folder that can be written", async () => {
    const folder = fileURLToPath(import.meta.url); // a file, in which no folder can be made
    assert.equal(await firstTry({ queries: [query], module: at("good-try"), folder }), undefined);
  });
});
