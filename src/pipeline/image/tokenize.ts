// Prompts to ids of exact length, as the text encoders were trained: truncate keeping the end token, then pad.
import { access } from "node:fs/promises";
import { join } from "node:path";
import { Tokenizer } from "@huggingface/tokenizers";
import { messageOf, TroupeError } from "../../core/error.js";
import { printable } from "../../core/printable.js";
import { readText } from "../../core/read-text.js";
import { clipTokenizerJson } from "./clip-bpe.js";

export type TokenizerKind = "clip" | "t5";

export interface TokenizedPrompt {
  /** Exactly the length asked for. */
  readonly ids: Int32Array;
  /** Ids of the whole prompt with its special tokens, before truncation and padding. */
  readonly fullLength: number;
  /** Sentences a user should see: text cut off, words that the vocabulary cannot spell. */
  readonly warnings: readonly string[];
}

export interface PromptTokenizer {
  readonly kind: TokenizerKind;
  /** One more than the largest id; the encoder's embedding must have at least as many rows. */
  readonly vocabulary: number;
  /** The longest prompt in ids that its encoder was trained on. */
  readonly maxLength: number;
  encode(text: string, length: number): TokenizedPrompt;
}

/**
 * Loads a tokenizer folder: tokenizer.json, or for CLIP vocab.json and merges.txt.
 * Errors: TroupeError("model") naming the file that is missing or unusable.
 */
export async function loadTokenizer(folder: string, kind: TokenizerKind): Promise<PromptTokenizer> {
  const config = { ...(await optionalJson(folder, "special_tokens_map.json")), ...(await optionalJson(folder, "tokenizer_config.json")) }; // prettier-ignore
  const json = await tokenizerJson(folder, kind);
  let tokenizer: Tokenizer;
  try {
    tokenizer = new Tokenizer(json, config);
  } catch (cause) {
    throw unusable(folder, `holds a tokenizer that cannot be built: ${messageOf(cause)}`, cause);
  }
  const pad = tokenText(config.pad_token) ?? (kind === "clip" ? "<|endoftext|>" : "<pad>");
  const padId = tokenizer.token_to_id(pad);
  if (padId === undefined) throw unusable(folder, `pads with ${pad}, which is not in its vocabulary`);
  const endId = tokenizer.encode("").ids.at(-1);
  if (endId === undefined) throw unusable(folder, "adds no end token to a prompt");
  const unknown = tokenText(config.unk_token) ?? (kind === "clip" ? "<|endoftext|>" : "<unk>");
  const vocabulary = 1 + [...tokenizer.get_vocab(true).values()].reduce((most, id) => Math.max(most, id), 0);
  return promptTokenizer(tokenizer, {
    kind,
    padId,
    endId,
    unknownId: tokenizer.token_to_id(unknown) ?? -1,
    vocabulary,
    maxLength: longest(config.model_max_length, kind),
  });
}

interface Rules {
  readonly kind: TokenizerKind;
  readonly padId: number;
  readonly endId: number;
  readonly unknownId: number;
  readonly vocabulary: number;
  readonly maxLength: number;
}

function promptTokenizer(tokenizer: Tokenizer, rules: Rules): PromptTokenizer {
  const { kind, padId, endId, unknownId, vocabulary, maxLength } = rules;
  const specials = tokenizer.encode("").ids.length;
  /** Ids between the special tokens. */
  const body = (text: string): number[] => {
    const { ids } = tokenizer.encode(plainCase(kind, text));
    return ids.slice(specials - 1, -1);
  };
  const spells = (word: string): boolean => !body(word).includes(unknownId);
  return {
    kind,
    vocabulary,
    maxLength,
    encode: (text, length) => {
      if (!Number.isInteger(length) || length < specials) {
        throw new TroupeError("internal", `a prompt of ${length} ids has no room for its special tokens`);
      }
      const full = tokenizer.encode(plainCase(kind, text)).ids;
      const ids = new Int32Array(length).fill(padId);
      ids.set(full.slice(0, length));
      const warnings: string[] = [];
      if (full.length > length) {
        ids[length - 1] = endId;
        const lost = tokenizer.decode(full.slice(length - 1, -1), { skip_special_tokens: true }).trim();
        warnings.push(
          `${NAMES[kind]} reads ${length} tokens, the prompt has ${full.length}: ${quoted(lost, 80)} is not seen by it`,
        );
      }
      const strange = [...new Set(text.split(/\s+/))].filter((word) => word !== "" && !spells(word));
      if (strange.length > 0) {
        const shown = strange.slice(0, MOST_WORDS).map((word) => quoted(word, 24));
        const more = strange.length > MOST_WORDS ? ` and ${strange.length - MOST_WORDS} more words` : "";
        warnings.push(`${NAMES[kind]} does not know ${shown.join(", ")}${more}`);
      }
      return { ids, fullLength: full.length, warnings };
    },
  };
}

/** Unknown words named in a warning. */
const MOST_WORDS = 5;

/** Text in quotes, shortened, nothing in it that a terminal would obey. */
const quoted = (text: string, most: number): string => `"${printable(text, most).replaceAll('"', '\\"')}"`;

const NAMES: Readonly<Record<TokenizerKind, string>> = { clip: "CLIP", t5: "T5" };

/**
 * The CLIP vocabulary was made with per-character lower-casing. JavaScript's toLowerCase has one rule that looks at
 * its neighbours, the final sigma; taking capital sigma away beforehand leaves none.
 */
const plainCase = (kind: TokenizerKind, text: string): string => (kind === "clip" ? text.replaceAll("Σ", "σ") : text);

/** The config's limit, where it is one: some files say 10^30 for "none". */
function longest(value: unknown, kind: TokenizerKind): number {
  const usual = kind === "clip" ? 77 : 512;
  return typeof value === "number" && Number.isInteger(value) && value > 0 && value < 100_000 ? value : usual;
}

/** Special tokens are given as text or as an object holding it. */
function tokenText(value: unknown): string | undefined {
  if (typeof value === "string") return value;
  const content = (value as { content?: unknown } | null | undefined)?.content;
  return typeof content === "string" ? content : undefined;
}

async function tokenizerJson(folder: string, kind: TokenizerKind): Promise<object> {
  if (await exists(join(folder, "tokenizer.json"))) return readJson(folder, "tokenizer.json");
  if (kind === "clip" && (await exists(join(folder, "vocab.json"))) && (await exists(join(folder, "merges.txt")))) {
    const merges = await readText(join(folder, "merges.txt")).catch((cause: unknown) => {
      throw unusable(folder, `has a merges.txt that cannot be read: ${messageOf(cause)}`, cause);
    });
    return clipTokenizerJson(await readJson(folder, "vocab.json"), merges, folder);
  }
  throw unusable(folder, kind === "clip" ? "has neither tokenizer.json nor vocab.json with merges.txt" : "has no tokenizer.json"); // prettier-ignore
}

const exists = (path: string): Promise<boolean> => access(path).then(() => true, () => false); // prettier-ignore

async function optionalJson(folder: string, file: string): Promise<Record<string, unknown>> {
  return (await exists(join(folder, file))) ? readJson(folder, file) : {};
}

async function readJson(folder: string, file: string): Promise<Record<string, unknown>> {
  let parsed: unknown;
  try {
    parsed = JSON.parse(await readText(join(folder, file)));
  } catch (cause) {
    throw unusable(folder, `has a ${file} that cannot be read: ${messageOf(cause)}`, cause);
  }
  if (parsed === null || typeof parsed !== "object" || Array.isArray(parsed)) {
    throw unusable(folder, `has a ${file} that is not a JSON object`);
  }
  return parsed as Record<string, unknown>;
}

const unusable = (folder: string, what: string, cause?: unknown): TroupeError =>
  new TroupeError("model", `${folder} ${what}`, {
    advice: "fetch the tokenizer folder of the checkpoint again",
    ...(cause === undefined ? {} : { cause }),
    details: { folder },
  });
