import assert from "node:assert/strict";
import { cp, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { TroupeError } from "../../core/error.js";
import { SafetensorsFile } from "../../weights/safetensors.js";
import { readNumbers } from "../../weights/store.js";
import { loadTokenizer } from "./tokenize.js";

const model = fileURLToPath(new URL("../../../../models/flux-shapes", import.meta.url));
const clip = await loadTokenizer(join(model, "tokenizer"), "clip");
const t5 = await loadTokenizer(join(model, "tokenizer_2"), "t5");

const scratch = await mkdtemp(join(tmpdir(), "troupe-tokenizer-"));
after(() => rm(scratch, { recursive: true }));

async function copy(part: string, without: readonly string[] = []): Promise<string> {
  const folder = await mkdtemp(join(scratch, "copy-"));
  await cp(join(model, part), folder, { recursive: true });
  for (const file of without) await rm(join(folder, file));
  return folder;
}

const refused = (message: RegExp) => (error: unknown) =>
  error instanceof TroupeError && error.code === "model" && message.test(error.message);

test("ids equal the golden file's", async () => {
  await using golden = await SafetensorsFile.open(join(model, "golden.safetensors"));
  const captions = JSON.parse(golden.metadata.captions!) as string[];
  for (const [name, tokenizer, length] of [["clip_ids", clip, 77], ["t5_ids", t5, 64]] as const) {
    const expected = await readNumbers(golden, name);
    captions.forEach((caption, i) => {
      const { ids, warnings } = tokenizer.encode(caption, length);
      assert.deepEqual([...ids], [...expected.subarray(i * length, (i + 1) * length)], `${name}: ${caption}`);
      assert.deepEqual(warnings, []);
    });
  }
}); // prettier-ignore

test("CLIP without tokenizer.json or configs gives the same ids from vocabulary and merges", async () => {
  const bare = await loadTokenizer(await copy("tokenizer", ["tokenizer.json", "tokenizer_config.json"]), "clip");
  const texts = [
    "a small white star at the bottom and a large blue star in the bottom right, on a navy background",
    "",
    "A  LARGE\nRed\tcircle!! 3.14 don't we'll",
    "café ΣΑΣ İ 日本語 😀 snake_case a-b",
  ];
  for (const text of texts) assert.deepEqual(bare.encode(text, 77).ids, clip.encode(text, 77).ids, text);
});

test("short prompts are padded with the tokenizer's own pad token, the end token stays", () => {
  assert.deepEqual([...clip.encode("", 5).ids], [0, 1, 1, 1, 1]);
  assert.deepEqual([...t5.encode("", 4).ids], [1, 0, 0, 0]);
  const { ids, fullLength } = t5.encode("a red star", 6);
  assert.deepEqual([...ids.subarray(fullLength - 1)], [1, 0, 0]);
});

test("the longest prompt is the config's, or the usual one where it names none", async () => {
  assert.deepEqual([clip.maxLength, t5.maxLength], [77, 64]);
  const folder = await copy("tokenizer_2");
  await writeFile(join(folder, "tokenizer_config.json"), '{"model_max_length":1000000000000000019884624838656}');
  assert.equal((await loadTokenizer(folder, "t5")).maxLength, 512);
});

test("long prompts keep their end token and say what is not seen", () => {
  const text = "a large red circle on the left and a small blue star at the top";
  for (const tokenizer of [clip, t5]) {
    const whole = tokenizer.encode(text, 64);
    const { ids, warnings, fullLength } = tokenizer.encode(text, 8);
    assert.equal(fullLength, whole.fullLength);
    assert.deepEqual([...ids.subarray(0, 7)], [...whole.ids.subarray(0, 7)]);
    assert.equal(ids[7], 1);
    assert.equal(warnings.length, 1);
    assert.match(warnings[0]!, /reads 8 tokens, the prompt has \d+: ".*blue star at the top" is not seen by it/);
    assert.deepEqual(tokenizer.encode(text, fullLength).warnings, []);
  }
});

test("words that the vocabulary cannot spell are named once", () => {
  const { warnings } = t5.encode("a ☃ red ☃ circle", 64);
  assert.deepEqual(warnings, ['T5 does not know "☃"']);
  assert.deepEqual(t5.encode("a red circle", 64).warnings, []);
});

test("warnings stay short and keep control characters off the terminal", () => {
  const [many] = t5.encode("☃ ☄ ☎ ☂ ♠ ♣ ♥ ☃", 64).warnings;
  assert.match(many!, /"☃", "☄", "☎", "☂", "♠" and 2 more words$/);
  const [lost, unknown] = clip.encode(`${"red ".repeat(500)}\u001b[2J`, 77).warnings;
  assert.ok(lost!.length < 200 && lost!.includes("…"), lost);
  assert.equal(unknown, 'CLIP does not know "\\u001b[2J"');
});

test("a folder that cannot be used is refused with its fault", async () => {
  await assert.rejects(loadTokenizer(join(model, "vae"), "t5"), refused(/has no tokenizer\.json/));
  await assert.rejects(loadTokenizer(join(model, "vae"), "clip"), refused(/neither tokenizer\.json nor vocab\.json/));
  const merges = await copy("tokenizer", ["tokenizer.json"]);
  await writeFile(join(merges, "merges.txt"), "#version: 0.2\nt h e\n");
  await assert.rejects(loadTokenizer(merges, "clip"), refused(/"t h e", which is no merge/));
  await writeFile(join(merges, "vocab.json"), "{}");
  await assert.rejects(loadTokenizer(merges, "clip"), refused(/has no <\|startoftext\|>/));
  const pad = await copy("tokenizer_2");
  await writeFile(join(pad, "tokenizer_config.json"), JSON.stringify({ pad_token: { content: "<none>" } }));
  await assert.rejects(loadTokenizer(pad, "t5"), refused(/pads with <none>/));
  await writeFile(join(pad, "tokenizer.json"), "[]");
  await assert.rejects(loadTokenizer(pad, "t5"), refused(/not a JSON object/));
});

test("any text gives ids of the length asked for, within the vocabulary, with an end token", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary", maxLength: 60 }), fc.integer({ min: 2, max: 90 }), (text, length) => {
      for (const tokenizer of [clip, t5]) {
        const { ids, fullLength } = tokenizer.encode(text, length);
        assert.equal(ids.length, length);
        assert.ok(ids.every((id) => id >= 0 && id < tokenizer.vocabulary));
        assert.equal(ids[Math.min(fullLength, length) - 1], 1);
      }
    }),
    { numRuns: 60 },
  );
});
