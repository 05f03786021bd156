// Prompts that are too long or cannot be spelled are drawn, with a warning that says what was cut or unknown; calls that
// make no sense are refused before anything runs.
import assert from "node:assert/strict";
import { totalmem } from "node:os";
import { after, before, describe, it } from "node:test";
import { TroupeError } from "../src/core/error.js";
import { textToImage, type Draw, type DrawOptions } from "../src/pipeline/image/text-to-image.js";
import { PROVIDERS } from "../src/provider/open.js";

const size = { width: 16, height: 16 };
let draw: Draw;
before(async () => {
  const providers = PROVIDERS.filter(({ name }) => name === "reference"); // nothing to build
  draw = await textToImage("models/flux-shapes", { effort: "none", size, steps: 1, providers });
});
after(() => draw.dispose());

/** What is said about a prompt that was drawn. */
async function warningsOf(prompt: string): Promise<readonly string[]> {
  let warnings: readonly string[] = [];
  const image = await draw(prompt, { onStage: (stage) => stage.kind === "encoded" && (warnings = stage.warnings) });
  assert.deepEqual([image.width, image.height, image.pixels.length], [16, 16, 3 * 16 * 16]);
  return warnings;
}

const CUT = /^(CLIP|T5) reads \d+ tokens, the prompt has \d+: ".*" is not seen by it$/;
const UNKNOWN = /^(CLIP|T5) does not know "/;

const PROMPTS: readonly (readonly [what: string, prompt: string, says: readonly RegExp[]])[] = [
  ["of 10,000 characters in words", "a large red circle ".repeat(527).slice(0, 10_000), [CUT]],
  ["of 10,000 characters in one word", "x".repeat(10_000), [CUT]],
  ["of 10,000 characters that nobody knows", "☃".repeat(10_000), [CUT, UNKNOWN]],
  ["of 10,000 words that nobody knows", Array.from({ length: 2000 }, (_, i) => `☃${i}`).join(" "), [CUT, UNKNOWN]],
  ["with a character that nobody knows", "a red ☃ circle", [UNKNOWN]],
  ["in another script", "красный круг 赤い円 دائرة حمراء", [UNKNOWN]],
  ["with half a character", "a red \ud83d circle", [UNKNOWN]],
  ["that would write to the terminal", "a red \u001b[2J\u0007\u202e circle", [UNKNOWN]],
  ["with a zero byte", "a red\u0000circle", []],
  ["that names special tokens", "<|endoftext|> </s> <pad> a red circle", []],
]; // prettier-ignore

describe("a prompt", () => {
  for (const [what, prompt, says] of PROMPTS)
    it(`${what} is drawn`, async () => {
      const start = performance.now();
      const warnings = await warningsOf(prompt);
      assert.ok(performance.now() - start < 20_000);
      for (const wanted of says) assert.ok(warnings.some((text) => wanted.test(text)), `${String(wanted)} in ${JSON.stringify(warnings)}`); // prettier-ignore
      for (const text of warnings) {
        assert.ok(text.length < 400, "a warning stays short");
        assert.doesNotMatch(text, /[\p{Cc}\u202e]/u, "nothing that a terminal obeys");
      }
    });

  it("that everybody knows is drawn without a word", async () => {
    assert.deepEqual(await warningsOf("a large red circle in the center, on a white background"), []);
  });
});

const CALLS: readonly (readonly [what: string, prompt: unknown, options: object])[] = [
  ["an empty prompt", "", {}],
  ["a blank prompt", " \n\t", {}],
  ["no prompt", undefined, {}],
  ["0 steps", "x", { steps: 0 }],
  ["-1 steps", "x", { steps: -1 }],
  ["steps in words", "x", { steps: "four" }],
  ["1e9 steps", "x", { steps: 1e9 }],
  ["NaN steps", "x", { steps: Number.NaN }],
  ["a size off the grid", "x", { size: { width: 33, height: 32 } }],
  ["no size", "x", { size: { width: 0, height: 0 } }],
  ["a huge size", "x", { size: { width: 2 ** 40, height: 16 } }],
  ["a seed below 0", "x", { seed: -1 }],
  ["half a seed", "x", { seed: 0.5 }],
  ["guidance that is no number", "x", { guidance: Number.NaN }],
  ["noise of another size", "x", { latents: new Float32Array(3) }],
  ["noise with NaN", "x", { latents: new Float32Array(64).fill(Number.NaN) }],
];

describe("a call is refused with code and advice for", () => {
  for (const [what, prompt, options] of CALLS)
    it(what, async () => {
      await assert.rejects(draw(prompt as string, options as DrawOptions), (error) => {
        assert.ok(error instanceof TroupeError, String(error));
        assert.equal(error.code, "usage");
        assert.ok(error.advice);
        return true;
      });
    });

  const skip = totalmem() > 64 * 2 ** 30 ? "this machine may have it" : false;
  it("a size that needs more memory than there is", { skip }, async () => {
    const wanted = (error: unknown): boolean => error instanceof TroupeError && error.code === "memory" && Boolean(error.advice); // prettier-ignore
    await assert.rejects(draw("x", { size: { width: 8192, height: 8192 } }), wanted);
  });

  it("threads that no machine has", async () => {
    for (const threads of [0, -1, 1.5, 1e6, Number.NaN])
      await assert.rejects(textToImage("models/flux-shapes", { threads, effort: "none" }), (error) => error instanceof TroupeError && error.code === "usage"); // prettier-ignore
  });

  it("and the next call is drawn", async () => {
    await warningsOf("a red circle");
  });
});
