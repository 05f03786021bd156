// Pictures as pixels, for places that show no SVG: rendered by resvg with a font that comes along, so that they look the
// same on every machine and need none of its fonts.
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { initWasm, Resvg } from "@resvg/resvg-wasm";

/** Pixels a unit of the picture: sharp on dense screens. */
const ZOOM = 2;
const FAMILY = "Atkinson Hyperlegible";
const FONTS = ["400Regular/AtkinsonHyperlegible_400Regular.ttf", "700Bold/AtkinsonHyperlegible_700Bold.ttf"] as const;

const { resolve } = createRequire(import.meta.url);

let ready: Promise<readonly Uint8Array[]> | undefined;

/** The renderer started, and its fonts. */
async function begin(): Promise<readonly Uint8Array[]> {
  await initWasm(await readFile(resolve("@resvg/resvg-wasm/index_bg.wasm")));
  return Promise.all(FONTS.map((file) => readFile(resolve(`@expo-google-fonts/atkinson-hyperlegible/${file}`))));
}

/** A PNG of an SVG whose style holds no more than classes and colours. */
export async function pngOf(svg: string): Promise<Uint8Array> {
  const fontBuffers = [...(await (ready ??= begin()))];
  const font = { fontBuffers, defaultFontFamily: FAMILY, sansSerifFamily: FAMILY };
  const renderer = new Resvg(svg, { fitTo: { mode: "zoom", value: ZOOM }, font });
  try {
    const image = renderer.render();
    try {
      return image.asPng();
    } finally {
      image.free();
    }
  } finally {
    renderer.free();
  }
}
