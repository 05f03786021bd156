// The attention skeleton of sm_90a: a loading warp with two TMA rings (keys, values), warpgroups of 64 queries each.
// Within a warpgroup the row work of one block runs under the second product of the block before (FlashAttention-3's
// overlap); between warpgroups turns at issuing products are taken by named barriers. The maths of row work,
// rescaling and epilogue comes from the traced ops. The first block of keys is the ragged one, so that only the
// peeled first iteration masks.
import type { AttentionForm } from "../../lower/cuda/form.js";
import {
  attentionSharedBytes,
  registerSplit,
  STAGING_BYTES,
  type AttentionSchedule,
} from "../../lower/cuda/schedule.js";
import { paramOf } from "../../tile/query.js";
import { argumentText, epilogueTensors } from "./arguments.js";
import type { KernelArgument, MapArgument, CudaKernel } from "../../device/cuda/kernel.js";
import { PRELUDE } from "./prelude.js";
import { MATRIX_ROW } from "./store.js";
import { attentionMaths } from "./attention-maths.js";
import { wgmmaFunction, wgmmaName, type WgmmaShape } from "./wgmma.js";

export interface AttentionSizes {
  /** Size of the contracted axis of the first product, and of the columns of the second; they are in the text. */
  readonly depth: number;
  readonly valueDepth: number;
}

export function renderAttention(form: AttentionForm, schedule: AttentionSchedule, sizes: AttentionSizes): CudaKernel {
  const { consumers, blockKeys: keys, stages, pingPong, splitTail } = schedule;
  const { program, dtype, store } = form;
  const { depth, valueDepth } = sizes;
  const name = `${program.name}_sm90`;
  const threads = (consumers + 1) * 128;
  const registers = registerSplit(consumers);
  const blockQ = consumers * 64;
  const [query, key] = [form.query.axis, form.key.axis];
  const scoresShape: WgmmaShape = { n: keys, dtype, a: "shared", bTransposed: false };
  const productShape: WgmmaShape = { n: valueDepth, dtype, a: "registers", bTransposed: true };

  const panelMap = (tensor: string, column: string, rows: number, columns: number): MapArgument => {
    const outer = paramOf(program, tensor).axes.slice(0, -2).toReversed();
    const row = paramOf(program, tensor).axes.at(-2)!;
    return {
      kind: "map",
      tensor,
      axes: [column, row, ...outer],
      box: [64, rows, columns / 64, ...outer.map(() => 1)],
      panels: true,
    };
  };
  const outAxes = paramOf(program, store.tensor).axes.toReversed();
  const args: KernelArgument[] = [
    panelMap(form.q, form.depth, blockQ, depth),
    panelMap(form.k, form.depth, keys, depth),
    panelMap(form.v, form.valueDepth, keys, valueDepth),
    {
      kind: "map",
      tensor: store.tensor,
      axes: outAxes,
      box: [64, 16, ...outAxes.slice(2).map(() => 1)],
      panels: false,
    },
    ...[query, key, ...form.points.map((p) => p.axis)].map((axis) => ({ kind: "size", axis }) as const),
    ...epilogueTensors(program, [...form.epilogue, ...form.rowWork]),
  ];

  const maths = attentionMaths(form, keys, valueDepth);
  const qBytes = blockQ * depth * 2;
  const kBytes = keys * depth * 2;
  const vBytes = keys * valueDepth * 2;
  const pointText = pointsOf(form);
  const last = form.endsWithQueries ? `min(size_${key}, min(size_${query}, tile_q + ${blockQ}))` : `size_${key}`;
  const extent = `const int end_key = ${last}, blocks = (end_key + ${keys - 1}) / ${keys}, live_columns = end_key - (blocks - 1) * ${keys};`;
  // Long tiles first: the short ones then fill the last wave.
  const tileQ = form.endsWithQueries ? "(tiles_q - 1 - tile / (tiles / tiles_q))" : "(tile % tiles_q)";
  const outer = form.points
    .toReversed()
    .map((p) => `, point${p.id}`)
    .join("");
  const load = (to: string, tensor: string, bar: string, row: string): string =>
    `load_${form.points.length + 3}d(${to}, &map_${tensor}, ${bar}, 0, ${row}, 0${outer});`;
  const advance = (ring: string): string => `if (++${ring}_slot == ${stages}) ${ring}_slot = 0, ${ring}_phase ^= 1;`;
  const loadKeys = `barrier_wait(k_empty + 8 * k_slot, k_phase);
          barrier_expect(k_full + 8 * k_slot, ${kBytes});
          ${load(`k_ring + k_slot * ${kBytes}`, form.k, "k_full + 8 * k_slot", "key0")}
          ${advance("k")}`;
  const loadValues = `barrier_wait(v_empty + 8 * v_slot, v_phase);
          barrier_expect(v_full + 8 * v_slot, ${vBytes});
          ${load(`v_ring + v_slot * ${vBytes}`, form.v, "v_full + 8 * v_slot", "value0")}
          ${advance("v")}`;
  const firstProduct = `{
      const u64 k_operand = operand(k_ring + k_slot * ${kBytes}, 16);
#pragma unroll
      for (int part = 0; part < ${depth / 16}; ++part)
        ${wgmmaName(scoresShape)}(s, q_operand + (part >> 2) * ${(blockQ * 128) >> 4} + (part & 3) * 2, k_operand + (part >> 2) * ${(keys * 128) >> 4} + (part & 3) * 2, part);
      wgmma_commit();
    }`;
  const secondProduct = `{
      const u64 v_operand = operand(v_ring + v_slot * ${vBytes}, ${keys * 128});
#pragma unroll
      for (int part = 0; part < ${keys / 16}; ++part) ${wgmmaName(productShape)}(o, p[part], v_operand + part * 128, 1);
      wgmma_commit();
    }`;
  const elected = "(threadIdx.x & 127) == 0";
  const release = (ring: string): string =>
    `if (${elected}) barrier_arrive(${ring}_empty + 8 * ${ring}_slot);\n    ${advance(ring)}`;
  // Tiles of the last wave that would leave more than half of the chip idle are done by one warpgroup each.
  const units = splitTail
    ? `const int whole = tiles - tiles % (int)gridDim.x, halves = 2 * (tiles - whole) <= (int)gridDim.x, units = halves ? 2 * tiles - whole : tiles;`
    : "const int units = tiles;";
  const unit = splitTail ? "unit < whole || !halves ? unit : whole + ((unit - whole) >> 1)" : "unit";
  const idle = `
    if (halves && unit >= whole && ((unit - whole) & 1) != consumer) {
      barrier_wait(q_full, q_phase);
      q_phase ^= 1;
      for (int block = 0; block < blocks; ++block) {
        ${pingPong ? "if (block > 0) named_sync(1 + consumer, 256), named_arrive(1 + (consumer ^ 1), 256);" : ""}
        barrier_wait(k_full + 8 * k_slot, k_phase);
        ${release("k")}
        barrier_wait(v_full + 8 * v_slot, v_phase);
        ${release("v")}
      }
      if (${elected}) barrier_arrive(q_empty);
      continue;
    }`;
  const turn = pingPong ? `named_sync(1 + consumer, 256);` : "";
  const nextTurn = pingPong
    ? `named_arrive(1 + ${consumers === 2 ? "(consumer ^ 1)" : `(consumer + 1) % ${consumers}`}, 256);`
    : "";

  const iteration = (
    from: string,
    to: string,
    belowDiagonal: boolean,
  ): string => `    for (int block = ${from}; block < ${to}; ++block) {
      key0 = live_columns + (block - 1) * ${keys};
      barrier_wait(k_full + 8 * k_slot, k_phase);
      ${turn}
      wgmma_fence();
    ${firstProduct}
      barrier_wait(v_full + 8 * v_slot, v_phase);
    ${secondProduct}
      ${nextTurn}
      wgmma_wait<1>();
      fence_registers(s);
    ${release("k")}
    {
${maths.rowWork({ masked: false, belowDiagonal })}    wgmma_wait<0>();
    fence_registers(o);
    ${release("v")}
${maths.packWeights(false)}
${maths.rescale}    ${maths.keepCarries}
    }
    }
`;
  // Blocks that end at or before the warpgroup's first query need no causal comparison.
  const loops = maths.compares
    ? `    const int below = min(blocks, max(1, (warp_row - (warp & 3) * 16 + 1 - live_columns) / ${keys} + 1));
${iteration("1", "below", true)}${iteration("below", "blocks", false)}`
    : iteration("1", "blocks", false);

  const source = `${PRELUDE}${wgmmaFunction(scoresShape)}${wgmmaFunction(productShape)}
extern "C" __global__ void __launch_bounds__(${threads}, 1)
${name}(${argumentText(program, args)}) {
  extern __shared__ unsigned char raw[];
  const u32 q_tile = (shared_address(raw) + 1023u) & ~1023u;
  const u32 k_ring = q_tile + ${qBytes}, v_ring = k_ring + ${stages * kBytes}, stagings = v_ring + ${stages * vBytes};
  const u32 q_full = stagings + ${consumers * 4 * STAGING_BYTES}, q_empty = q_full + 8;
  const u32 k_full = q_full + 16, k_empty = k_full + ${8 * stages}, v_full = k_empty + ${8 * stages}, v_empty = v_full + ${8 * stages};
  const int warp = __shfl_sync(~0u, threadIdx.x >> 5, 0), lane = threadIdx.x & 31;
  const int tiles_q = (size_${query} + ${blockQ - 1}) / ${blockQ};
  const int tiles = tiles_q${form.points.map((p) => ` * size_${p.axis}`).join("")};
  ${units}
  if (threadIdx.x == 0) {
    barrier_init(q_full, 1);
    barrier_init(q_empty, ${consumers});
    for (int i = 0; i < ${stages}; ++i) {
      barrier_init(k_full + 8 * i, 1);
      barrier_init(v_full + 8 * i, 1);
      barrier_init(k_empty + 8 * i, ${consumers});
      barrier_init(v_empty + 8 * i, ${consumers});
    }
    barriers_made();
  }
  __syncthreads();
  if (warp < 4) {
    registers_down<${registers.load}>();
    if (warp == 0 && lane == 0) {
      int k_slot = 0, v_slot = 0;
      u32 k_phase = 1, v_phase = 1, q_phase = 1;
      for (int unit = blockIdx.x; unit < units; unit += gridDim.x) {
    const int tile = ${unit};
        const int tile_q = ${tileQ} * ${blockQ};
        ${pointText}
        ${extent}
        int key0 = 0, value0 = 0;
        {
          ${loadKeys}
        }
        barrier_wait(q_empty, q_phase);
        q_phase ^= 1;
        barrier_expect(q_full, ${qBytes});
        ${load("q_tile", form.q, "q_full", "tile_q")}
        for (int block = 1; block < blocks; ++block) {
          key0 = live_columns + (block - 1) * ${keys};
          ${loadKeys}
          ${loadValues}
          value0 = key0;
        }
        ${loadValues}
      }
    }
  } else {
    registers_up<${registers.compute}>();
    const int consumer = (warp >> 2) - 1;
    const u32 staging = stagings + (warp - 4) * ${STAGING_BYTES};
    const u64 q_operand = operand(q_tile + consumer * 8192, 16);
    ${MATRIX_ROW}
    int k_slot = 0, v_slot = 0;
    u32 k_phase = 0, v_phase = 0, q_phase = 0;
    ${pingPong ? `if (consumer == ${consumers - 1}) named_arrive(1, 256);` : ""}
    for (int unit = blockIdx.x; unit < units; unit += gridDim.x) {
    const int tile = ${unit};
    const int tile_q = ${tileQ} * ${blockQ}, warp_row = tile_q + consumer * 64 + (warp & 3) * 16;
    const int row0 = warp_row + (lane >> 2), row1 = row0 + 8;
    ${pointText}
    ${extent}${splitTail ? idle : ""}
    float s[${keys / 2}];
    u32 p[${keys / 16}][4];
    int key0 = 0;
    ${maths.start}
    barrier_wait(q_full, q_phase);
    q_phase ^= 1;
    barrier_wait(k_full + 8 * k_slot, k_phase);
    wgmma_fence();
    ${firstProduct}
    wgmma_wait<0>();
    fence_registers(s);
    ${release("k")}
    {
${maths.rowWork({ masked: true, belowDiagonal: false })}${maths.packWeights(true)}
${maths.rescale}    ${maths.keepCarries}
    }
${loops}    if (${elected}) barrier_arrive(q_empty);
    barrier_wait(v_full + 8 * v_slot, v_phase);
    wgmma_fence();
    ${secondProduct}
    wgmma_wait<0>();
    fence_registers(o);
    ${release("v")}
    ${maths.joinLanes}
    {
    ${maths.out.tile.filter((line) => !line.startsWith("const int row0")).join("\n    ")}
    ${maths.out.columns}    }
    }
    if (lane == 0) store_wait<0>();
  }
}
`;
  return {
    name,
    source,
    threads,
    sharedBytes: attentionSharedBytes(schedule, depth, valueDepth),
    cluster: 1,
    fillsDevice: false,
    arguments: args,
    tiles: [{ axis: query, tile: splitTail ? 64 : blockQ }, ...form.points.map((p) => ({ axis: p.axis, tile: 1 }))],
  };
}

/** Which point of each grid axis a tile is for: of neighbours with equal work, so that they share keys and values. */
function pointsOf(form: AttentionForm): string {
  const lines: string[] = [];
  let rest = form.endsWithQueries ? "tile % (tiles / tiles_q)" : "tile / tiles_q";
  form.points.toReversed().forEach((p, i, all) => {
    lines.push(`const int point${p.id} = ${i === all.length - 1 ? rest : `(${rest}) % size_${p.axis}`};`);
    rest = `(${rest}) / size_${p.axis}`;
  });
  return lines.join("\n        ");
}
