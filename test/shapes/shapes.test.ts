import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { loadTokenizer } from "../../src/pipeline/image/tokenize.js";
import { SafetensorsFile } from "../../src/weights/safetensors.js";
import { readNumbers } from "../../src/weights/store.js";
import { render } from "./render.js";
import {
  caption,
  COLORS,
  GROUNDS,
  keysOf,
  PLACES,
  random,
  scene,
  SHAPES,
  SIZES,
  type Scene,
} from "../../src/report/following/scene.js";
import { planePixels, score } from "../../src/report/following/score.js";
import { promptFollowing } from "../../src/report/following/following.js";
import { toPicture } from "../../src/pipeline/image/png.js";

const root = fileURLToPath(new URL("../../..", import.meta.url));

function scenes(count: number, seed: number): Scene[] {
  const draw = random(seed);
  return Array.from({ length: count }, () => scene(draw));
}

test("scenes and captions repeat for a seed and differ between seeds", () => {
  const captions = (seed: number): string[] => {
    const draw = random(seed);
    return Array.from({ length: 50 }, () => caption(scene(draw), draw));
  };
  assert.deepEqual(captions(5), captions(5));
  assert.ok(new Set([...captions(5), ...captions(6)]).size > 95);
});

test("every word of the world comes up, no two things share a place, none has the ground's colour", () => {
  const many = scenes(2000, 1);
  const things = many.flatMap((s) => s.things);
  assert.equal(new Set(things.map((t) => t.color)).size, keysOf(COLORS).length);
  assert.equal(new Set(things.map((t) => t.shape)).size, SHAPES.length);
  assert.equal(new Set(things.map((t) => t.place)).size, keysOf(PLACES).length);
  assert.equal(new Set(things.map((t) => t.size)).size, keysOf(SIZES).length);
  assert.equal(new Set(many.map((s) => s.ground)).size, keysOf(GROUNDS).length);
  const counts = [1, 2, 3].map((n) => many.filter((s) => s.things.length === n).length / many.length);
  [2 / 6, 3 / 6, 1 / 6].forEach((p, i) => assert.ok(Math.abs(counts[i]! - p) < 0.04, `${counts}`));
  for (const { ground, things: own } of many) {
    assert.equal(new Set(own.map((t) => t.place)).size, own.length);
    assert.ok(own.every((t) => t.color !== (ground as string)));
  }
});

test("the shipped tokenizers know every caption and none is cut off", async () => {
  const clip = await loadTokenizer(join(root, "models/flux-shapes/tokenizer"), "clip");
  const t5 = await loadTokenizer(join(root, "models/flux-shapes/tokenizer_2"), "t5");
  const draw = random(2);
  for (let i = 0; i < 300; i++) {
    const text = caption(scene(draw), draw);
    assert.deepEqual([...clip.encode(text, 77).warnings, ...t5.encode(text, 64).warnings], [], text);
  }
});

test("a drawn scene scores full marks", () => {
  for (const one of scenes(60, 3)) {
    const { objects, rightObjects, rightGround } = score(planePixels(render(one)), one);
    assert.deepEqual([rightObjects, rightGround], [objects, true], JSON.stringify(one));
  }
});

test("a wrong colour, a wrong place, a wrong ground and an empty picture lose their marks", () => {
  const asked: Scene = {
    ground: "white",
    things: [
      { color: "red", shape: "circle", size: "large", place: "in the center" },
      { color: "blue", shape: "ring", size: "small", place: "in the top right" },
    ],
  };
  const [first, second] = asked.things as [Scene["things"][0], Scene["things"][0]];
  const drawn = (change: Partial<Scene>): ReturnType<typeof score> =>
    score(planePixels(render({ ...asked, ...change })), asked);
  assert.equal(drawn({ things: [{ ...first, color: "green" }, second] }).rightObjects, 1);
  assert.equal(drawn({ things: [first, { ...second, place: "on the left" }] }).rightObjects, 1);
  assert.deepEqual(drawn({ ground: "gray" }).rightGround, false);
  assert.deepEqual(drawn({ things: [] }), { objects: 2, rightObjects: 0, rightGround: true });
  assert.equal(drawn({}).rightObjects, 2);
});

test("the reference implementation's pictures show what their captions say", async () => {
  await using golden = await SafetensorsFile.open(join(root, "models/flux-shapes/golden.safetensors"));
  const image = await readNumbers(golden, "image");
  const asked: Scene[] = [
    {
      ground: "navy",
      things: [
        { size: "small", color: "white", shape: "star", place: "at the bottom" },
        { size: "large", color: "blue", shape: "star", place: "in the bottom right" },
      ],
    },
    {
      ground: "black",
      things: [
        { size: "small", color: "pink", shape: "diamond", place: "at the top" },
        { size: "small", color: "red", shape: "star", place: "in the top left" },
      ],
    },
  ];
  const captions = JSON.parse(golden.metadata.captions!) as string[];
  asked.forEach((one, i) => {
    assert.ok(one.things.every((t) => captions[i]!.includes(`${t.size} ${t.color} ${t.shape} ${t.place}`)));
    const planes = image.subarray(i * 3 * 256 * 256, (i + 1) * 3 * 256 * 256);
    assert.deepEqual(score(planePixels(planes), one), { objects: 2, rightObjects: 2, rightGround: true });
  });
});

test("the world here is the world of the training script", () => {
  const script = readFileSync(join(root, "tools/train-flux-shapes.py"), "utf8");
  for (const word of [...keysOf(COLORS), ...keysOf(GROUNDS), ...SHAPES, ...keysOf(PLACES), ...keysOf(SIZES)]) {
    assert.ok(script.includes(`"${word}"`), word);
  }
  for (const [name, rgb] of [...Object.entries(COLORS), ...Object.entries(GROUNDS)]) {
    assert.ok(script.includes(`"${name}": (${rgb.join(", ")})`), name);
  }
});

test("a draughtsman who listens counts in full, one who mixes up two colours does not", async () => {
  const draw = random(9);
  const asked = new Map<string, Scene>();
  for (let i = 0; i < 20; i++) {
    const one = scene(draw);
    asked.set(caption(one, draw), one);
  }
  const paint = (one: Scene): Uint8Array => toPicture(render(one), { height: 256, width: 256 }).pixels;
  const seeds: number[] = [];
  const good = await promptFollowing({ prompts: 20, seed: 9 }, async (text, seed) => {
    seeds.push(seed);
    return paint(asked.get(text)!);
  });
  const objects = [...asked.values()].reduce((sum, one) => sum + one.things.length, 0);
  assert.deepEqual(good, { prompts: 20, objects, rightObjects: objects, rightGrounds: 20 });
  assert.equal(new Set(seeds).size, 20);
  const confused = await promptFollowing({ prompts: 20, seed: 9 }, async (text) => {
    const { ground, things } = asked.get(text)!;
    return paint({ ground, things: things.map((t) => (t.color === "red" ? { ...t, color: "green" } : t)) });
  });
  const reds = [...asked.values()].flatMap((one) => one.things).filter((t) => t.color === "red").length;
  assert.ok(reds > 0);
  assert.equal(confused.rightObjects, objects - reds);
});
