// The product skeleton of sm_90a, of matmuls and convolutions: persistent blocks in L2-friendly order, one loading warp
// that fills a TMA ring on mbarriers, warpgroups of wgmma that share the tile's rows, the traced epilogue on the
// accumulator's registers. Optionally two warpgroups take turns at tiles, so that what one does after its products runs
// under those of the other; optional pairs of blocks (clusters along M) load half of B's tile each and multicast it;
// optionally the tiles of a last, partial wave are shared by all blocks along the contracted axis (the tail of Stream-K,
// Osama et al., arXiv 2301.03598).
import { aheadOf, prefetchedLoad, rowTables } from "../../lower/cuda/ahead.js";
import { RUN_PIXELS, type ProductForm } from "../../lower/cuda/form.js";
import {
  matmulSharedBytes,
  partBytes,
  partColumns,
  registerSplit,
  slabBuffers,
  slabsOf,
  stagingBuffers,
  type MatmulSchedule,
} from "../../lower/cuda/schedule.js";
import { paramOf } from "../../tile/query.js";
import { argumentText, epilogueTensors } from "./arguments.js";
import { FragmentWriter } from "./fragment.js";
import type { KernelArgument, MapArgument, CudaKernel } from "../../device/cuda/kernel.js";
import { JOIN_LANES } from "./moments.js";
import { MULTICAST_3D, PRELUDE } from "./prelude.js";
import { countsStores, MATRIX_ROW, outputText, pieceName, type OutputPlace } from "./store.js";
import { columnAxes, mapOf, pointOf, rowsOf } from "./tile-rows.js";
import { wgmmaFunction, wgmmaName, type WgmmaShape } from "./wgmma.js";

/** Steps along the contracted axis that a block which shares a tile has at least. */
const LEAST_STEPS = 4;

/**
 * @param width elements of a position of n: of a head, where the form has inner axes
 * @param parts heads that each of several tensors has of the result; none or one: it lies in one
 */
export function renderMatmul(
  form: ProductForm,
  schedule: MatmulSchedule,
  width = 1,
  parts: readonly number[] = [],
): CudaKernel {
  const { blockM, blockN, stages, consumers, cluster, groupM, split = 1, sharesTail = false, turns = false } = schedule;
  const { program, a, b, dtype, store, outer, inner } = form;
  const name = `${program.name}_sm90`;
  const threads = (consumers + 1) * 128;
  const registers = registerSplit(consumers, form.kind === "conv");
  const slabs = slabsOf(schedule);
  /** Which 64 rows of its tile a warpgroup's slab is. */
  const slab = turns ? "slab" : `(consumer * ${slabs} + slab)`;
  const wgmma: WgmmaShape = { n: blockN, dtype, a: "shared", bTransposed: false };
  const n = form.n.axis;
  const rows = rowsOf(form, schedule);
  const outDtype = paramOf(program, store.tensor).dtype;

  const point = pointOf(form);
  /** Heads of a tile, and what rows and columns are in the map of a result. */
  const heads = form.kind === "matmul" && inner.length > 0 ? blockN / width : 0;
  const moments = form.kind === "conv" ? form.moments : undefined;
  const columnCount = inner.length > 0 ? `(size_${n} * ${width})` : `size_${n}`;
  const [fastest, ...slower] = rows.axes as readonly [string, ...string[]];
  const resultAxes = (columns: string): MapArgument["axes"] => heads > 0 ? [inner, fastest, columns, ...slower] : [columnAxes(columns, inner), ...rows.axes]; // prettier-ignore
  const isDealt = heads > 0 && parts.length > 1;
  const staged = outDtype !== "f32" && partColumns(schedule) > 0;
  const part = (staged && partColumns(schedule)) || 64;
  const prefetched = staged ? prefetchedLoad(form) : undefined;
  const prefetchedAxes = prefetched ? rows.axes.filter((axis) => paramOf(program, prefetched.tensor).axes.includes(axis)) : []; // prettier-ignore
  const tables = schedule.fetchesTables ? rowTables(form) : [];
  const ahead = aheadOf(form, width);
  const fetches = prefetched !== undefined || tables.length > 0;
  const load = (to: string, tensor: string, bar: string, from: readonly string[]): string =>
    `load_${from.length}d(${to}, &map_${tensor}, ${bar}, ${from.join(", ")})`;
  const stagingBytes = stagingBuffers(schedule, ahead) * partBytes(schedule);
  const perSlab = slabBuffers(schedule, ahead);
  const args: KernelArgument[] = [
    rows.a,
    rows.b,
    ...(staged
      ? isDealt
        ? parts.map((_, i) => mapOf(pieceName(store.tensor, i), resultAxes(pieceName(n, i)), 16, part))
        : [mapOf(store.tensor, resultAxes(n), 16, part)]
      : [
          { kind: "pointer", tensor: store.tensor } as const,
          ...rows.axes.map((_, dim) => ({ kind: "stride", tensor: store.tensor, dim }) as const),
        ]),
    ...rows.sizes.map((axis) => ({ kind: "size", axis }) as const),
    ...(prefetched ? [mapOf(prefetched.tensor, [columnAxes(n, inner), ...prefetchedAxes], 16, part)] : []),
    ...tables.map(({ tensor }): MapArgument => ({
      kind: "map",
      tensor,
      axes: [inner[0]!, fastest],
      box: [32, 16],
      panels: false,
    })),
    ...(sharesTail ? ([{ kind: "workspace" }, { kind: "counters" }] as const) : []),
    ...(moments ? [moments.means, moments.squares] : []).flatMap((tensor): readonly KernelArgument[] => [
      { kind: "pointer", tensor },
      ...[0, 1, 2].map((dim) => ({ kind: "stride", tensor, dim }) as const),
    ]),
    ...epilogueTensors(
      program,
      form.epilogue.filter((op) => op !== prefetched && !tables.some((load) => load === op)),
    ),
  ];
  const writer = new FragmentWriter(
    program,
    { row: fastest, col: n, inner, groups: form.kind === "conv" && inner.length > 0 ? width : undefined },
    new Map([[form.accumulator, (row, col) => `acc[slab][(slice * ${part / 8} + j) * 4 + ${2 * row + col}]`]]),
  );
  /** The 64 rows and columns of a tile that stand together in shared memory or the workspace. */
  const unit = `(${slab} * ${blockN / 64} + slice)`;
  /** A warp's own part of it that one block adds up and stores: 64 columns, or a head. */
  const ownUnit = `((${slab} * 4 + (warp & 3)) * ${heads || blockN / 64} + ${heads ? `slice / ${width / 64}` : "slice"})`;
  /** Heads one after another: what is done for one must not begin before the last is done, for want of registers. */
  const pastLast = heads ? `tile_n / ${width} + head >= size_${n}` : undefined;
  const place: OutputPlace = {
    columns: blockN, firstColumn: "tile_n", firstRow: rows.warp[0]!, columnSize: heads ? `size_${n}` : columnCount, rowSize: `size_${fastest}`,
    buffers: staged ? 2 : 0, part, prefetched, tables, slabBuffers: perSlab, outer: [...rows.warp.slice(1), ...point],
    skip: split > 1 ? `${unit} % ${split} != (int)rank` : sharesTail ? `${heads ? ownUnit.replace(`slice / ${width / 64}`, "head") : ownUnit} % sharers != rank` : pastLast,
    moments: moments && {
      ...moments, width, at: [...point, "warp_y", `warp_x / ${RUN_PIXELS}`], isLive: `warp_x < size_${rows.axes[0]!} && warp_y < size_${rows.axes[1]!}`,
      firstGroup: `tile_n / ${width}`, groups: `size_${n}`, firstRow: rows.warp[0]!, rowSize: `size_${fastest}`,
    },
    heads: heads ? { width, first: `tile_n / ${width}`, count: `size_${n}`, parts } : undefined,
  }; // prettier-ignore
  const out = outputText(writer, store, form.epilogue, place);
  const aBytes = blockM * 128;
  const bBytes = blockN * 128;
  const stageBytes = aBytes + bBytes;
  const half = rows.from.b(`tile_n + rank * ${blockN / cluster}`);
  const loadB =
    cluster > 1
      ? `load_${half.length}d_multicast(to + ${aBytes} + rank * ${bBytes / cluster}, &map_${b}, bar, ${half.join(", ")}, ${(1 << cluster) - 1})`
      : load(`to + ${aBytes}`, b, "bar", rows.from.b("tile_n"));

  // Tiles of whole waves come one by one; the rest are dealt out in parts, a part of each to every so-many-th block.
  const work = sharesTail
    ? `const int shared = item >= whole, tile = shared ? whole + (item - whole) % tail : item;
    const int rank = shared ? (item - whole) / tail : 0, sharers = shared ? most_sharers : 1;
    const int from_step = all_steps * rank / sharers, steps = all_steps * (rank + 1) / sharers - from_step;
    `
    : "";
  const items = sharesTail
    ? "item = first; item < items; item += stride"
    : "tile = first; tile < tiles; tile += stride";
  const ownItems = turns ? `tile = first + consumer * stride; tile < tiles; tile += 2 * stride` : items;
  // A warpgroup passes over the steps of the other's tiles, and waits until the last of them is under way: a wait for a
  // phase that is further off than the next would end too early.
  const passOver = turns
    ? `      const int passed = turn * steps;
      turn += 2;
      slot = passed % ${stages}, phase = passed / ${stages} & 1;
      named_sync(2 + consumer, 256);
`
    : "";
  const passOn = turns ? "      named_arrive(3 - consumer, 256);\n" : "";
  const tileOrder = `${work}${outer ? `const int ${point.join()} = tile / (tiles_m * tiles_n), own = tile % (tiles_m * tiles_n);\n    ` : "const int own = tile;\n    "}const int group = own / (${groupM} * tiles_n), in_group = own % (${groupM} * tiles_n);
    const int group_m = min(tiles_m - group * ${groupM}, ${groupM});
    const int ${rows.tile(`((group * ${groupM} + in_group % group_m) * ${cluster}${cluster > 1 ? " + (int)rank" : ""})`)}, tile_n = in_group / group_m * ${blockN};`;

  /** What a warp fetches for a slab: boxes of 16 rows × 128 bytes, into which buffer each, and where from. */
  const warpAt = rows.warpAt(`${slab} * 64 + (warp & 3) * 16`);
  const intoSlab = (slab: string, buffer: string): string =>
    `staging + (${slab} * ${perSlab} + ${buffer}) * ${partBytes(schedule)}`;
  const boxes = prefetched ? blockN / part : ahead.tableBoxes;
  const boxTexts = prefetched
    ? [load(intoSlab("slab", "box"), prefetched.tensor, "fetched_here", [`tile_n + box * ${part}`, ...[...warpAt, ...point].slice(0, prefetchedAxes.length)])]
    : tables.map(({ tensor }, i) => `load_2d(${intoSlab("slab", `${(i * width) / 64} + box`)}, &map_${tensor}, fetched_here, box * 32, ${warpAt.join()})`); // prettier-ignore
  // Once the last tile's stores have left the buffers, while this tile's first products run.
  const fetchText = `
        if (step == min(2, steps - 1)) {
          if (lane == 0) {
            store_wait_read<0>();
            barrier_expect(fetched_here, ${slabs * boxes * partBytes(schedule)});
            for (int slab = 0; slab < ${slabs}; ++slab)
              for (int box = 0; box < ${boxes / boxTexts.length}; ++box) {${boxTexts.map((text) => `\n                ${text};`).join("")}
              }
          }
          __syncwarp();
        }`;

  // Blocks that share a tile leave their sums in the ring, which no transfer fills before all have read what is theirs.
  const units = `for (int slab = 0; slab < ${slabs}; ++slab)
#pragma unroll
      for (int slice = 0; slice < ${blockN / 64}; ++slice)`;
  const meeting = `
      const u32 sums = ring + (threadIdx.x & 127) * 16;
      named_sync(1, ${consumers * 128});
#pragma unroll
      ${units} {
        const int unit = ${unit};
        if (unit % ${split} == (int)rank) continue;
#pragma unroll
        for (int j = 0; j < 8; ++j) {
          const float* own = &acc[slab][(slice * 8 + j) * 4];
          store_shared_4(sums + (unit * 8 + j) * 2048, own[0], own[1], own[2], own[3]);
        }
      }
      cluster_sync();
#pragma unroll
      ${units} {
        const int unit = ${unit};
        if (unit % ${split} != (int)rank) continue;
#pragma unroll 1
        for (u32 peer = (rank + 1) % ${split}; peer != rank; peer = (peer + 1) % ${split})
#pragma unroll
          for (int j = 0; j < 8; ++j) add_peer_4(&acc[slab][(slice * 8 + j) * 4], sums + (unit * 8 + j) * 2048, peer);
      }
      fence_async();
      cluster_sync();
`;
  // Blocks that share one of the last tiles leave their sums in the workspace, each its own; who stores a part adds it up.
  const meetingInMemory = `
      if (sharers > 1) {
        float* const sums = workspace + (threadIdx.x & 127) * 4;
#pragma unroll
        ${units} {
          if (${ownUnit} % sharers == rank) continue;
#pragma unroll
          for (int j = 0; j < 8; ++j) store_sums(sums + (long long)(item - whole) * ${blockM * blockN} + (${unit} * 8 + j) * 512, &acc[slab][(slice * 8 + j) * 4]);
        }
        __threadfence();
        named_sync(1, ${consumers * 128});
        if (threadIdx.x == 128) meet_blocks(counters + (tile - whole), sharers);
        named_sync(1, ${consumers * 128});
#pragma unroll
        ${units} {
          if (${ownUnit} % sharers != rank) continue;
#pragma unroll 1
          for (int peer = (rank + 1) % sharers; peer != rank; peer = (peer + 1) % sharers)
#pragma unroll
            for (int j = 0; j < 8; ++j) add_sums(&acc[slab][(slice * 8 + j) * 4], sums + (long long)(peer * tail + tile - whole) * ${blockM * blockN} + (${unit} * 8 + j) * 512);
        }
      }
`;
  const blocksTogether = cluster * split;

  const source = `${PRELUDE}${cluster > 1 && half.length === 3 ? MULTICAST_3D : ""}${moments ? JOIN_LANES : ""}${wgmmaFunction(wgmma)}
extern "C" __global__ void __launch_bounds__(${threads}, 1)${blocksTogether > 1 ? ` __cluster_dims__(${blocksTogether}, 1, 1)` : ""}
${name}(${argumentText(program, args)}) {
  extern __shared__ unsigned char raw[];
  const u32 ring = (shared_address(raw) + 1023u) & ~1023u;
  const u32 stagings = ring + ${stages * stageBytes};
  const u32 full = stagings + ${consumers * 4 * stagingBytes}, empty = full + ${8 * stages}${fetches ? `, fetched = empty + ${8 * stages}` : ""};
  const int warp = __shfl_sync(~0u, threadIdx.x >> 5, 0), lane = threadIdx.x & 31;
  const int ${rows.count}, tiles_n = (${columnCount} + ${blockN - 1}) / ${blockN};
  const int tiles = tiles_m * tiles_n${outer ? ` * size_${outer.axis}` : ""}, ${rows.steps};
  const int first = blockIdx.x / ${blocksTogether}, stride = gridDim.x / ${blocksTogether};${blocksTogether > 1 ? "\n  const u32 rank = cluster_rank();" : ""}
${
  sharesTail
    ? `  const int whole = tiles - tiles % stride, tail = tiles - whole;
  const int most_sharers = tail > 0 ? max(1, min(stride / tail, all_steps / ${LEAST_STEPS})) : 1, items = whole + tail * most_sharers;
`
    : `  const int from_step = ${split > 1 ? `all_steps * (int)rank / ${split}` : "0"}, steps = ${split > 1 ? `all_steps * ((int)rank + 1) / ${split} - from_step` : "all_steps"};
`
}  if (threadIdx.x == 0) {
    for (int i = 0; i < ${stages}; ++i) {
      barrier_init(full + 8 * i, 1);
      barrier_init(empty + 8 * i, ${(turns ? 1 : consumers) * cluster});
    }${fetches ? `\n    for (int i = 0; i < ${consumers * 4}; ++i) barrier_init(fetched + 8 * i, 1);` : ""}
    barriers_made();
  }
  ${cluster > 1 ? "cluster_sync();" : "__syncthreads();"}
  if (warp < 4) {
    registers_down<${registers.load}>();
    const bool loads = warp == 0 && lane == 0;
    ${split > 1 ? "" : "if (loads) "}{
      prefetch_map(&map_${a});
      prefetch_map(&map_${b});
      int slot = 0;
      u32 phase = 1;
      for (int ${items}) {
    ${tileOrder}
${rows.start}        ${split > 1 ? "if (loads) " : ""}for (int step = 0; step < steps; ++step) {
          barrier_wait(empty + 8 * slot, phase);
          const u32 to = ring + slot * ${stageBytes}, bar = full + 8 * slot;
          barrier_expect(bar, ${stageBytes});
          ${load("to", a, "bar", rows.from.a)};
          ${loadB};
${rows.next}          if (++slot == ${stages}) slot = 0, phase ^= 1;
        }${split > 1 ? "\n        __syncwarp();\n        cluster_sync();\n        cluster_sync();" : ""}
      }
    }
  } else {
    registers_up<${registers.compute}>();
    const int consumer = (warp >> 2) - 1;
    const u32 staging = stagings + (warp - 4) * ${stagingBytes};
    ${MATRIX_ROW}
    float acc[${slabs}][${blockN / 2}];
    int slot = 0${countsStores(place) ? ", stored = 0" : ""}${turns ? ", turn = consumer" : ""};
    u32 phase = 0;${fetches ? "\n    u32 fetched_phase = 0;\n    const u32 fetched_here = fetched + 8 * (warp - 4);" : ""}${turns ? "\n    if (consumer == 1) named_arrive(2, 256);" : ""}
    for (int ${ownItems}) {
    ${tileOrder}
${passOver}      int before = 0;
      for (int step = 0; step < steps; ++step) {
        barrier_wait(full + 8 * slot, phase);
        const u32 from = ring + slot * ${stageBytes};
        const u64 a_operand = operand(from${turns ? "" : ` + consumer * ${slabs * 64 * 128}`}, 16), b_operand = operand(from + ${aBytes}, 16);
        wgmma_fence();
#pragma unroll
        for (int part = 0; part < 4; ++part)
#pragma unroll
          for (int slab = 0; slab < ${slabs}; ++slab)
            ${wgmmaName(wgmma)}(acc[slab], a_operand + slab * 512 + part * 2, b_operand + part * 2, step | part);
        wgmma_commit();${fetches ? fetchText : ""}
        wgmma_wait<1>();
        if (step > 0 && ${cluster > 1 ? `(threadIdx.x & 127) < ${cluster}) barrier_arrive_peer(empty + 8 * before, threadIdx.x & 127);` : "(threadIdx.x & 127) == 0) barrier_arrive(empty + 8 * before);"}
        before = slot;
        if (++slot == ${stages}) slot = 0, phase ^= 1;
      }
${passOn}      wgmma_wait<0>();
#pragma unroll
      for (int slab = 0; slab < ${slabs}; ++slab) fence_registers(acc[slab]);
      if (${cluster > 1 ? `(threadIdx.x & 127) < ${cluster}) barrier_arrive_peer(empty + 8 * before, threadIdx.x & 127);` : "(threadIdx.x & 127) == 0) barrier_arrive(empty + 8 * before);"}
${split > 1 ? meeting : sharesTail ? meetingInMemory : ""}${fetches ? "      barrier_wait(fetched_here, fetched_phase);\n      fetched_phase ^= 1;\n" : ""}#pragma unroll
      for (int slab = 0; slab < ${slabs}; ++slab) {
        const int ${rows.warp.map((name, i) => `${name} = ${warpAt[i]}`).join(", ")};
        ${out.tile.join("\n        ")}
    ${out.columns}      }
    }
    ${staged ? "if (lane == 0) store_wait<0>();" : ""}
  }
  ${cluster > 1 ? "__syncwarp();\n  cluster_sync();" : ""}
}
`;
  return {
    name,
    source,
    threads,
    sharedBytes: matmulSharedBytes(schedule, ahead),
    cluster: blocksTogether,
    fillsDevice: sharesTail,
    arguments: args,
    tiles: [...rows.tiles, { axis: n, tile: blockN / width }, ...(outer ? [{ axis: outer.axis, tile: 1 }] : [])],
  };
}
