// Where the rows of a product's tile come from and where its results go, as texts and maps for the skeleton: rows of a
// matrix, or the pixels of a patch of a picture. A patch is loaded by one transfer a step: a box of 64 channels × its
// columns × its lines, shifted by the step's tap; what lies outside of the picture comes as zeros and is not stored.
import type { MapArgument } from "../../device/cuda/kernel.js";
import type { ConvForm, MatmulForm, ProductForm } from "../../lower/cuda/form.js";
import type { MatmulSchedule } from "../../lower/cuda/schedule.js";

export interface TileRows {
  /** Axes of the rows in a result's map, fastest first, the tile's point last. */
  readonly axes: readonly string[];
  readonly a: MapArgument;
  readonly b: MapArgument;
  /** Axes whose sizes the text reads. */
  readonly sizes: readonly string[];
  /** Declarations of the tiles along the rows, `tiles_m`, and of the steps along what is contracted, `all_steps`. */
  readonly count: string;
  readonly steps: string;
  /** Declarations of where the tile with this number along the rows stands. */
  readonly tile: (number: string) => string;
  /** Statements before a tile's steps and after the transfers of each, and the transfers' coordinates; filters are columns from `column` on. */
  readonly start: string;
  readonly next: string;
  readonly from: { readonly a: readonly string[]; readonly b: (column: string) => readonly string[] };
  /** Names for where a warp's 16 rows stand, and their texts for the tile's row that the first is. */
  readonly warp: readonly string[];
  readonly warpAt: (row: string) => readonly string[];
  /** What a launch counts its pieces of work by. */
  readonly tiles: readonly { readonly axis: string; readonly tile: number }[];
}

/** Boxes of so many rows × columns, one of every further axis. */
export const mapOf = (tensor: string, axes: MapArgument["axes"], rows: number, columns = 64): MapArgument => ({
  kind: "map",
  tensor,
  axes,
  box: [columns, rows, ...axes.slice(2).map(() => 1)],
  panels: false,
});

/** The columns as one axis of a map. */
export const columnAxes = (n: string, inner: readonly string[]): string | readonly string[] => inner.length > 0 ? [n, ...inner] : n; // prettier-ignore

/** The name of the point that a tile belongs to, where there is one. */
export const pointOf = ({ outer }: ProductForm): readonly string[] => (outer ? [`point${outer.id}`] : []);

export const rowsOf = (form: ProductForm, schedule: MatmulSchedule): TileRows =>
  form.kind === "conv" ? patches(form, schedule) : matrixRows(form, schedule);

function matrixRows(form: MatmulForm, { blockM, blockN, cluster }: MatmulSchedule): TileRows {
  const { k, inner, outer } = form;
  const [m, n] = [form.m.axis, form.n.axis];
  const axes = [m, ...(outer ? [outer.axis] : [])];
  const column = "(from_step + step) * 64";
  return {
    axes,
    a: mapOf(form.a, [k, ...axes], blockM),
    b: mapOf(form.b, [k, columnAxes(n, inner)], blockN / cluster),
    sizes: [m, n, k, ...axes.slice(1)],
    count: `tiles_m = (size_${m} + ${blockM * cluster - 1}) / ${blockM * cluster}`,
    steps: `all_steps = (size_${k} + 63) / 64`,
    tile: (number) => `tile_m = ${number} * ${blockM}`,
    start: "",
    next: "",
    from: { a: [column, "tile_m", ...pointOf(form)], b: (first) => [column, first] },
    warp: ["warp_row"],
    warpAt: (row) => [`tile_m + ${row}`],
    tiles: [{ axis: m, tile: blockM * cluster }],
  };
}

function patches(form: ConvForm, { blockM, blockN, cluster, patch: wide = blockM }: MatmulSchedule): TileRows {
  const { k, image, inner, outer } = form;
  const [y, x, n] = [form.y.axis, form.x.axis, form.n.axis];
  const [KY, KX] = form.taps;
  const high = blockM / wide;
  const shifted = (position: string, tap: string, by: number): string => `${position} + ${tap}${by < 0 ? ` - ${-by}` : by > 0 ? ` + ${by}` : ""}`; // prettier-ignore
  return {
    axes: [x, y, outer.axis],
    a: { kind: "map", tensor: form.a, axes: [k, image.x, image.y, outer.axis], box: [64, wide, high, 1], panels: false },
    b: { kind: "map", tensor: form.b, axes: [k, [KY, KX], columnAxes(n, inner)], box: [64, 1, blockN / cluster], panels: false },
    sizes: [x, y, n, k, KY, KX, outer.axis],
    count: `patches_x = (size_${x} + ${wide - 1}) / ${wide}, tiles_m = (patches_x * ((size_${y} + ${high - 1}) / ${high}) + ${cluster - 1}) / ${cluster}`,
    steps: `channel_steps = (size_${k} + 63) / 64, all_steps = size_${KY} * size_${KX} * channel_steps`,
    tile: (number) =>
      `patch = ${number}, tile_x = patch % patches_x * ${wide}, tile_y = patch / patches_x * ${high}`,
    start: `        int channel = from_step % channel_steps * 64, tap_x = from_step / channel_steps % size_${KX}, tap_y = from_step / channel_steps / size_${KX};
`,
    next: `          if ((channel += 64) >= size_${k}) {
            channel = 0;
            if (++tap_x == size_${KX}) tap_x = 0, ++tap_y;
          }
`,
    from: {
      a: ["channel", shifted("tile_x", "tap_x", image.from[1]), shifted("tile_y", "tap_y", image.from[0]), ...pointOf(form)], // prettier-ignore
      b: (first) => ["channel", `tap_y * size_${KX} + tap_x`, first],
    },
    warp: ["warp_x", "warp_y"],
    warpAt: (row) => [`tile_x + (${row}) % ${wide}`, `tile_y + (${row}) / ${wide}`],
    tiles: [
      { axis: x, tile: wide },
      { axis: y, tile: high * cluster },
    ],
  };
} // prettier-ignore
