// Shared libraries found at run time: a list of names and folders is tried in order, and what fails is an answer that
// names the library, never an exception. Functions come with their types; plans need only addresses.
import { existsSync, statSync } from "node:fs";
import { isAbsolute, join } from "node:path";
import "./stacks.js";
import koffi, { type LibraryHandle } from "koffi";
import { debug, libraryFolders } from "../../core/debug.js";
import { messageOf } from "../../core/error.js";
import { type Found, isCannot } from "./found.js";
import { type NativeFunction, type Signature, checked, koffiType } from "./types.js";

/** What to look for. */
export interface LibraryQuery {
  /** The product's name, for messages: "oneDNN". */
  readonly name: string;
  /** File names or absolute paths, best first: "libdnnl.so.2". */
  readonly files: readonly string[];
  /** More folders to look in, after the user's and before the loader's own search. */
  readonly folders?: readonly string[];
  /** Symbols without which it is not this library. */
  readonly requires: readonly string[];
  /** Keeps equal symbols of two libraries apart (RTLD_DEEPBIND), as two BLAS libraries need. */
  readonly deep?: boolean;
  /** How to get it, for the "cannot" sentence. */
  readonly advice: string;
}

export interface Library {
  readonly name: string;
  /** The file the loader took. */
  readonly path: string;
  /** Address of a function or variable; undefined when the library has no such symbol. */
  address(symbol: string): bigint | undefined;
}

/** Where Linux distributions and CUDA-less installs keep shared libraries that the loader may not search. */
const SYSTEM_FOLDERS = [
  "/usr/local/lib",
  "/usr/lib/x86_64-linux-gnu",
  "/usr/lib/aarch64-linux-gnu",
  "/usr/lib64",
  "/usr/lib",
  "/opt/homebrew/lib",
];

/** Handles are kept: a collected one would unload its library under the addresses that were taken from it. */
const loaded = new Set<LibraryHandle>();

const RTLD_LAZY_NODELETE = 0x1001;

/**
 * Keeps a loaded library mapped until the process is gone. When Node ends it unloads what koffi loaded while threads of
 * OpenMP pools still run in it, which crashes an exit that had gone well.
 */
export function pinLibrary(path: string): void {
  if (process.platform === "linux") loader().open(path, RTLD_LAZY_NODELETE);
}

interface Loader {
  readonly open: (...args: readonly unknown[]) => unknown;
  readonly find: (...args: readonly unknown[]) => unknown;
}

let knownLoader: Loader | undefined;

/** dlopen and dladdr of the system's loader. */
function loader(): Loader {
  if (knownLoader) return knownLoader;
  const self = koffi.load(null);
  return (knownLoader = {
    open: self.func("dlopen", "void *", ["str", "int"]) as Loader["open"],
    find: self.func("dladdr", "int", ["void *", "void *"]) as Loader["find"],
  });
}

/** Finds and loads a library: the user's folders, the query's, the loader's own search, then the usual places. */
export function openLibrary(query: LibraryQuery): Found<Library> {
  const reasons: string[] = [];
  for (const path of places(query)) {
    const library = tryOpen(query, path);
    if (!isCannot(library)) {
      // A name is a product found on the machine; a path is one of many generated files.
      debug(isAbsolute(query.files[0] ?? "") ? 5 : 1, () => `native: ${query.name} from ${library.path}`);
      return library;
    }
    if (!isAbsent(path, library.cannot)) reasons.push(`${path}: ${library.cannot}`);
  }
  const why = reasons.length > 0 ? reasons.join("; ") : `none of ${query.files.join(", ")} is installed`;
  return { cannot: `${query.name} cannot be loaded: ${why}. ${query.advice}` };
}

/** Path, size and date of every file that may be taken: changes when a library is installed, updated or removed. */
export function stampsOf(query: LibraryQuery): readonly string[] {
  const folders = [...libraryFolders(), ...(query.folders ?? []), ...SYSTEM_FOLDERS];
  const paths = query.files.flatMap((file) =>
    isAbsolute(file) ? [file] : folders.map((folder) => join(folder, file)),
  );
  return paths.flatMap((path) => {
    const stat = statSync(path, { throwIfNoEntry: false });
    return stat ? [`${path} ${stat.size} ${stat.mtimeMs}`] : [];
  });
}

/** Whether the file itself is not there; otherwise a library that it needs is what is missing. */
const isAbsent = (path: string, why: string): boolean =>
  /No such file/.test(why) && (why.startsWith(path) || why.startsWith("cannot open"));

function* places(query: LibraryQuery): Generator<string> {
  const absolute = query.files.filter(isAbsolute);
  const names = query.files.filter((file) => !isAbsolute(file));
  const within = (folders: readonly string[]): string[] =>
    folders.flatMap((folder) => names.map((name) => join(folder, name))).filter((path) => existsSync(path));
  yield* within([...libraryFolders(), ...(query.folders ?? [])]);
  yield* absolute.filter((path) => existsSync(path));
  yield* names;
  yield* within(SYSTEM_FOLDERS);
}

function tryOpen(query: LibraryQuery, path: string): Found<Library> {
  try {
    const handle = koffi.load(path, { deep: query.deep ?? false, lazy: true });
    const address = (symbol: string): bigint | undefined => {
      try {
        return koffi.address(handle.symbol(symbol));
      } catch {
        return undefined;
      }
    };
    const missing = query.requires.filter((symbol) => address(symbol) === undefined);
    if (missing.length > 0) return { cannot: `it has no symbol ${missing.join(", ")}` };
    loaded.add(handle);
    const first = query.requires[0];
    const file = (first && fileOf(address(first)!)) || path;
    pinLibrary(file);
    return { name: query.name, path: file, address };
  } catch (error) {
    return { cannot: messageOf(error).replace(/^Failed to load shared library: /, "") };
  }
}

/** The file that the code at `address` was loaded from; undefined where the system cannot tell. */
export function fileOf(address: bigint): string | undefined {
  try {
    const info = new BigUint64Array(4); // Dl_info: file name, base, symbol name, symbol
    return loader().find(address, info) === 0 ? undefined : koffi.decode.string(info[0]!);
  } catch {
    return undefined;
  }
}

/** The function at `address`, with its type. `name` is for messages. */
export function functionAt<S extends Signature>(address: bigint, name: string, signature: S): NativeFunction<S> {
  const [result, ...args] = signature;
  const call = koffi.decode(address, koffi.proto(koffiType(result), args.map(koffiType))) as (
    ...a: unknown[]
  ) => unknown;
  return checked(name, signature, call);
}

export type Functions<T extends Readonly<Record<string, Signature>>> = {
  readonly [K in keyof T]: NativeFunction<T[K]>;
};

/** Typed functions of a library; "cannot" lists every missing symbol at once. */
export function bindFunctions<const T extends Readonly<Record<string, Signature>>>(
  library: Library,
  signatures: T,
): Found<Functions<T>> {
  const missing = Object.keys(signatures).filter((symbol) => library.address(symbol) === undefined);
  if (missing.length > 0) return { cannot: `${library.name} (${library.path}) has no function ${missing.join(", ")}` };
  const bound = Object.entries(signatures).map(([symbol, signature]) => {
    return [symbol, functionAt(library.address(symbol)!, symbol, signature)] as const;
  });
  return Object.fromEntries(bound) as unknown as Functions<T>;
}

/** The NUL-terminated string at `address`, "" for NULL. */
export const stringAt = (address: bigint): string => (address === 0n ? "" : koffi.decode.string(address));
