// CLIP's tokenizer written out in full, for folders that hold only its vocabulary and merges.
import { TroupeError } from "../../core/error.js";

const START = "<|startoftext|>";
const END = "<|endoftext|>";

/** Pieces to keep; white space between them vanishes, every digit stands alone. */
const PIECES = String.raw`<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+`;

/**
 * A tokenizer.json object from vocab.json (piece → id) and merges.txt (a version line, then one merge a line).
 * Errors: TroupeError("model") when the special tokens are missing or a merge line is malformed.
 */
export function clipTokenizerJson(vocab: Readonly<Record<string, unknown>>, merges: string, folder: string): object {
  const idOf = (token: string): number => {
    const id = vocab[token];
    if (typeof id === "number" && Number.isInteger(id)) return id;
    throw new TroupeError("model", `${folder}/vocab.json has no ${token}`, { advice: "fetch the tokenizer again" });
  };
  const special = (content: string): object => ({
    id: idOf(content), content, special: true, normalized: false, single_word: false, lstrip: false, rstrip: false,
  }); // prettier-ignore
  return {
    added_tokens: [special(START), special(END)],
    normalizer: {
      type: "Sequence",
      normalizers: [
        { type: "NFC" },
        { type: "Replace", pattern: { Regex: "\\s+" }, content: " " },
        { type: "Lowercase" },
      ],
    },
    pre_tokenizer: {
      type: "Sequence",
      pretokenizers: [
        { type: "Split", pattern: { Regex: PIECES }, behavior: "Removed", invert: true },
        { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true },
      ],
    },
    post_processor: {
      type: "RobertaProcessing",
      cls: [START, idOf(START)],
      sep: [END, idOf(END)],
      trim_offsets: false,
      add_prefix_space: false,
    },
    decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: "BPE",
      unk_token: END,
      continuing_subword_prefix: "",
      end_of_word_suffix: "</w>",
      fuse_unk: false,
      byte_fallback: false,
      vocab,
      merges: parseMerges(merges, folder),
    },
  };
}

function parseMerges(text: string, folder: string): [string, string][] {
  const lines = text.split("\n").filter((line, i) => line.trim() !== "" && !(i === 0 && line.startsWith("#version")));
  return lines.map((line) => {
    const pair = line.trim().split(" ");
    if (pair.length !== 2) {
      throw new TroupeError("model", `${folder}/merges.txt has the line ${JSON.stringify(line)}, which is no merge`, {
        advice: "fetch the tokenizer again",
      });
    }
    return pair as [string, string];
  });
}
