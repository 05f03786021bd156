// Where CUDA's libraries and compiler lie: folders named by the user, the toolkit's usual places, Python's wheels.
import { existsSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { cudaFolders } from "../../core/debug.js";

const TOOLKITS = ["/usr/local/cuda", "/opt/cuda"];
const inside = (toolkit: string): readonly string[] => [
  join(toolkit, "lib64"),
  join(toolkit, "targets/x86_64-linux/lib"),
];

/** Folders that may hold libnvrtc and its like, best first. */
export function libraryFolders(): readonly string[] {
  return [...cudaFolders(), ...TOOLKITS.flatMap(inside), "/usr/lib/x86_64-linux-gnu", "/usr/lib64", ...wheelFolders()];
}

/** nvidia/<part>/lib of every Python that is found by its usual folder. */
function wheelFolders(): readonly string[] {
  const roots = ["/usr/lib", "/usr/local/lib"].filter(existsSync);
  return roots.flatMap((root) =>
    readdirSync(root)
      .filter((name) => name.startsWith("python3"))
      .flatMap((name) => ["site-packages", "dist-packages"].map((kind) => join(root, name, kind, "nvidia")))
      .filter(existsSync)
      .flatMap((nvidia) => readdirSync(nvidia).map((part) => join(nvidia, part, "lib")))
      .filter(existsSync),
  );
}

/** The first file whose name begins so; the shortest name wins, which is the soname. */
export function findLibrary(prefix: string): string | undefined {
  for (const folder of libraryFolders()) {
    if (!existsSync(folder)) continue;
    const [name] = readdirSync(folder)
      .filter((file) => file.startsWith(prefix) && /\.so(\.\d+)+$/.test(file))
      .sort((a, b) => a.length - b.length);
    if (name) return join(folder, name);
  }
  return undefined;
}

/** nvcc's path: beside the folders of libraries, in the toolkit, or in the usual places for commands. */
export function findNvcc(): string | undefined {
  const places = [
    ...cudaFolders().map((folder) => join(dirname(folder), "bin")),
    ...TOOLKITS.map((toolkit) => join(toolkit, "bin")),
    "/usr/local/bin",
    "/usr/bin",
  ];
  return places.map((folder) => join(folder, "nvcc")).find(existsSync);
}
