// A bundle where there is nothing else: a root with Node, its shared libraries, the package and the bundle, mounted
// read-only, without compiler and cache. Draws there and here and compares bit by bit. Needs root (mount, chroot).
// usage: node tools/bundle-chroot.mjs [f32|bf16]
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { PROVIDERS, textToImage } from "../dist/src/index.js";

const MODEL = "models/flux-shapes";
const PROMPT = "a large red circle in the center and a small blue star in the top right, on a white background";
const dtype = process.argv[2] ?? "f32";
const scratch = mkdtempSync(join(tmpdir(), "troupe-chroot-"));
const root = join(scratch, "root");
const out = join(scratch, "out");
const mounts = [];
let draw;

function mount(...args) {
  execFileSync("mount", args);
  mounts.unshift(args.at(-1));
}

/** Copies a file with every shared library that it names, each to its own path. */
function bring(file) {
  const listed = execFileSync("ldd", [file], { encoding: "utf8" });
  for (const path of [file, ...listed.matchAll(/(?:=> )?(\/\S+) \(0x/g)].map((found) =>
    typeof found === "string" ? found : found[1],
  )) {
    mkdirSync(join(root, dirname(path)), { recursive: true });
    cpSync(realpathSync(path), join(root, path), { dereference: true });
  }
}

/** The package and what it depends on in production. */
function bringPackage() {
  const manifest = JSON.parse(readFileSync("package.json", "utf8"));
  for (const name of ["bin", "dist/src", "package.json"])
    cpSync(name, join(root, "troupe", name), { recursive: true, dereference: true });
  const seen = new Set();
  const bringDependency = (name) => {
    if (seen.has(name) || !existsSync(join("node_modules", name))) return;
    seen.add(name);
    cpSync(join("node_modules", name), join(root, "troupe/node_modules", name), { recursive: true, dereference: true });
    const { dependencies = {}, optionalDependencies = {} } = JSON.parse(readFileSync(join("node_modules", name, "package.json"), "utf8")); // prettier-ignore
    for (const next of Object.keys({ ...dependencies, ...optionalDependencies })) bringDependency(next);
  };
  for (const name of Object.keys(manifest.dependencies)) bringDependency(name);
  return seen;
}

try {
  for (const folder of [root, out, ...["proc", "tmp", "out"].map((name) => join(root, name))])
    mkdirSync(folder, { recursive: true });
  const providers = PROVIDERS.filter(({ name }) => name === "tile" || name === "reference");
  draw = await textToImage(MODEL, { effort: "none", dtype, providers });
  const here = await draw(PROMPT, { seed: 7 });
  await draw.saveBundle(join(root, "bundle"));
  bring(realpathSync(process.execPath));
  const packages = bringPackage();
  mount("--bind", root, root);
  execFileSync("mount", ["-o", "remount,bind,ro", root]);
  mount("-t", "proc", "proc", join(root, "proc"));
  mount("--bind", out, join(root, "out"));
  const node = realpathSync(process.execPath);
  const command = [
    "/troupe/bin/troupe.js",
    "run",
    "/bundle",
    "--prompt",
    PROMPT,
    "--seed",
    "7",
    "-o",
    "/out/there.png",
  ];
  const env = { PATH: "", HOME: "/nowhere", TROUPE_CACHE: "/cache" };
  execFileSync("/usr/sbin/chroot", [root, node, ...command], { env, stdio: "inherit" });
  const { decodePng } = await import("../dist/src/pipeline/image/png.js");
  const there = decodePng(readFileSync(join(out, "there.png")));
  const equal = Buffer.compare(Buffer.from(there.pixels), Buffer.from(here.pixels)) === 0;
  console.log(
    `${dtype}: node, ${packages.size} packages and a bundle; the picture is ${equal ? "bit-equal" : "DIFFERENT"}`,
  );
  process.exitCode = equal ? 0 : 1;
} finally {
  await draw?.dispose();
  // What cannot be unmounted throws here, before anything below it would be removed.
  for (const place of mounts) execFileSync("umount", [place]);
  rmSync(scratch, { recursive: true, force: true });
}
