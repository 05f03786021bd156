// Graphs and invented measurements for the tests of planning: the shapes of a small FLUX step and of an image decoder.
import { hashOf } from "../core/hash.js";
import type { Graph, Node, Value } from "../graph/node.js";
import { hasTrait } from "../graph/op.js";
import { opOf } from "../graph/ops.js";
import { Words } from "../graph/words.js";
import type { Layout } from "../provider/provider.js";
import type { CandidateFacts, Measurement, RegionRecord } from "../tuner/records/measurement.js";
import type { Proposal, Proposals } from "./propose.js";
import type { ConversionChoice } from "./select.js";

const HEADS = 4;

/** A transformer of `doubles` two-stream and `singles` one-stream blocks on 32 text and 64 image tokens. */
export function fluxLike(doubles: number, singles: number, width = 64): Graph {
  const g = new Words("flux-like");
  const weight = (name: string, ...shape: number[]): Value => g.weight(name, "f32", shape);
  const linear = (name: string, x: Value, out: number): Value =>
    g.linear(x, weight(`${name}.weight`, out, x.shape.at(-1)!), weight(`${name}.bias`, out));
  const [text, image] = [32, 64];
  const cos = g.input("cos", "f32", [text + image, width / HEADS / 2]);
  const sin = g.input("sin", "f32", [text + image, width / HEADS / 2]);
  const vector = g.silu(g.input("vector", "f32", [1, 1, width]));
  const modulation = (name: string, parts: number): readonly Value[] =>
    g.split(
      linear(name, vector, parts * width),
      -1,
      Array.from({ length: parts }, () => width),
    );
  const modulated = (x: Value, shift: Value, scale: Value): Value =>
    g.add(g.mul(g.layerNorm(x, undefined, 1e-6), g.add(scale, 1)), shift);
  const heads = (x: Value): Value => g.reshape(x, [1, x.shape[1]!, HEADS, width / HEADS]);
  const normed = (name: string, x: Value): Value => g.rmsNorm(heads(x), weight(name, width / HEADS), 1e-6);
  const attend = (q: Value, k: Value, v: Value): Value => {
    const out = g.attention(g.rope(q, cos, sin, "interleaved"), g.rope(k, cos, sin, "interleaved"), v);
    return g.reshape(out, [1, q.shape[1]!, width]);
  };
  let txt = linear("context", g.input("text", "f32", [1, text, width]), width);
  let img = linear("patches", g.input("latents", "f32", [1, image, width]), width);

  for (let i = 0; i < doubles; i++)
    g.within(`double${i}`, () => {
      const streams = [["img", img] as const, ["txt", txt] as const].map(([s, x]) => {
        const name = `double${i}.${s}`;
        const parts = modulation(`${name}.mod`, 6);
        const y = modulated(x, parts[0]!, parts[1]!);
        const [q, k, v] = ["q", "k", "v"].map((part) => linear(`${name}.${part}`, y, width)) as [Value, Value, Value];
        return { name, x, parts, q: normed(`${name}.qn`, q), k: normed(`${name}.kn`, k), v: heads(v) };
      });
      const joint = (part: "q" | "k" | "v"): Value => g.concat([streams[1]![part], streams[0]![part]], 1);
      const out = attend(joint("q"), joint("k"), joint("v"));
      const [outText, outImage] = g.split(out, 1, [text, image]) as [Value, Value];
      [img, txt] = streams.map(({ name, x, parts }, s) => {
        const attended = linear(`${name}.out`, s === 0 ? outImage : outText, width);
        const y = g.add(x, g.mul(attended, parts[2]!));
        const hidden = g.geluTanh(linear(`${name}.up`, modulated(y, parts[3]!, parts[4]!), 4 * width));
        return g.add(y, g.mul(linear(`${name}.down`, hidden, width), parts[5]!));
      }) as [Value, Value];
    });

  let x = g.concat([g.copy(txt), g.copy(img)], 1);
  for (let i = 0; i < singles; i++)
    g.within(`single${i}`, () => {
      const name = `single${i}`;
      const [shift, scale, gate] = modulation(`${name}.mod`, 3) as [Value, Value, Value];
      const y = modulated(x, shift, scale);
      const q = normed(`${name}.qn`, linear(`${name}.q`, y, width));
      const k = normed(`${name}.kn`, linear(`${name}.k`, y, width));
      const attended = attend(q, k, heads(linear(`${name}.v`, y, width)));
      const hidden = g.geluTanh(linear(`${name}.mlp`, y, 4 * width));
      x = g.add(x, g.mul(linear(`${name}.out`, g.concat([attended, hidden], 2), width), gate));
    });
  const [, last] = g.split(x, 1, [text, image]) as [Value, Value];
  return g.finish({ velocity: linear("last", g.layerNorm(last, undefined, 1e-6), width) });
}

/** An image decoder: residual blocks of group norm, SiLU and convolutions, with upsampling between. */
export function decoderLike(blocks: number, channels = 16): Graph {
  const g = new Words("decoder-like");
  const weight = (name: string, ...shape: number[]): Value => g.weight(name, "f32", shape);
  const conv = (name: string, x: Value): Value =>
    g.conv2d(x, weight(`${name}.weight`, channels, x.shape[1]!, 3, 3), weight(`${name}.bias`, channels), {
      padding: 1,
    });
  const normed = (name: string, x: Value): Value =>
    g.silu(g.groupNorm(x, weight(`${name}.weight`, channels), weight(`${name}.bias`, channels), 4, 1e-6));
  let x = conv("in", g.input("latents", "f32", [1, channels, 8, 8]));
  for (let i = 0; i < blocks; i++) {
    const inner = conv(`b${i}.conv1`, normed(`b${i}.norm1`, x));
    x = g.add(x, conv(`b${i}.conv2`, normed(`b${i}.norm2`, inner)));
    if (i % 4 === 3) x = conv(`b${i}.up`, g.upsampleNearest(x, 2));
  }
  return g.finish({ image: conv("out", normed("last", x)) });
}

const CHANNELS_LAST: Layout = [0, 2, 3, 1];

/** A number in [0, 1) that follows from text alone. */
export const drawn = (text: string): number => Number.parseInt(hashOf(text).slice(0, 8), 16) / 2 ** 32;

const isHeavy = (node: Node): boolean => hasTrait(opOf(node), "contraction") || node.op.includes("attention");

/** Microseconds that some machine might take: work, traffic and a start for each region; noise by provider. */
function inventedUs({ region, work }: Proposal, provider: string): number {
  const nodes = region.nodes.filter((node) => work.includes(node.id));
  const type = (value: number): Value => region.graph.values[value]!;
  const flops = nodes.reduce((sum, n) => sum + opOf(n).flops(n.params, n.inputs.map(type), n.outputs.map(type)), 0);
  const elements = [...region.inputs, ...region.outputs].reduce(
    (sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1),
    0,
  );
  return (2 + flops / 2e4 + elements / 4e3) * (0.7 + 0.6 * drawn(`${provider} ${region.signature}`));
}

export const candidateOf = (
  { region }: Proposal,
  provider: string,
  id: string,
  changes: Partial<CandidateFacts> = {},
): CandidateFacts => ({
  provider,
  id,
  params: { id },
  layouts: { inputs: region.inputs.map(() => undefined), outputs: region.outputs.map(() => undefined) },
  aliases: [],
  packs: [],
  workspaceBytes: 0,
  accumulation: "f32",
  ...changes,
});

const accepted = (candidate: CandidateFacts, p50: number): Measurement => ({
  candidate,
  verdict: { kind: "accepted" },
  error: 1e-7,
  us: { p20: p50 * 0.98, p50, p80: p50 * 1.03, runs: 50 },
});

/** Records of three invented providers: one that does anything singly, one that fuses, one that likes channels last. */
export function inventRecords(proposals: Proposals): ReadonlyMap<string, RegionRecord> {
  const records = new Map<string, RegionRecord>();
  for (const [signature, [proposal]] of proposals.bySignature) {
    const { region, work, whole } = proposal!;
    const nodes = work.map((id) => region.graph.nodes[id]!);
    const measurements: Measurement[] = [];
    const cannot: { provider: string; reason: string }[] = [];
    if (work.length === 1)
      measurements.push(accepted(candidateOf(proposal!, "plain", "default"), inventedUs(proposal!, "plain")));
    else cannot.push({ provider: "plain", reason: "it computes one op at a time" });
    const fuses = !whole && nodes.filter(isHeavy).length <= 1;
    if (fuses) {
      const residual = region.inputs.findIndex(
        (input) => input.kind === "activation" && input.shape.join() === region.outputs[0]?.shape.join(),
      );
      const aliases = residual >= 0 && nodes.at(-1)!.op === "add" ? [{ output: 0, input: residual }] : [];
      for (const id of ["small", "large"])
        measurements.push(
          accepted(candidateOf(proposal!, "fuser", id, { aliases }), inventedUs(proposal!, `fuser ${id}`)),
        );
    } else cannot.push({ provider: "fuser", reason: "more than one product" });
    const isImage = [...region.inputs, ...region.outputs].some((o) => o.kind === "activation" && o.shape.length === 4);
    if (fuses && isImage) {
      const last = (operand: (typeof region.inputs)[number]): Layout =>
        operand.shape.length === 4 && operand.kind === "activation" && !operand.fixed ? CHANNELS_LAST : undefined;
      const layouts = { inputs: region.inputs.map(last), outputs: region.outputs.map(last) };
      measurements.push(
        accepted(candidateOf(proposal!, "channels", "nhwc", { layouts }), 0.75 * inventedUs(proposal!, "channels")),
      );
    }
    records.set(signature, {
      signature,
      title: nodes.map((node) => node.op).join("+"),
      threads: 2,
      measurements,
      cannot,
      versions: { plain: "1", fuser: "2", channels: "3" },
    });
  }
  return records;
}

/** Conversions at the speed of a slow copy. */
export const inventConversion = (type: { readonly shape: readonly number[] }): ConversionChoice => ({
  choice: { provider: "plain", id: "copy", params: {} },
  workspaceBytes: 0,
  us: 1 + type.shape.reduce((a, b) => a * b, 1) / 2e3,
});
