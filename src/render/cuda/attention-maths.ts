// The maths of an attention loop on one warpgroup's registers, from the traced ops: `s` are the scores (4 numbers a
// group of 8 keys), `p` the weights as wgmma's operand, `o` the accumulator, `carryN_rR` the carried values of rows.
import type { AttentionForm } from "../../lower/cuda/form.js";
import type { FullOp, ValueId, ValueOp } from "../../tile/program.js";
import { FragmentWriter, type Leaf } from "./fragment.js";
import { literal } from "./pointwise.js";
import { deferredSums, rowWork, type BlockFacts } from "./row-work.js";
import { outputText, type OutputText } from "./store.js";

export interface AttentionMaths {
  /** Declares and starts the carries and the accumulator. */
  readonly start: string;
  readonly rowWork: (facts: BlockFacts) => string;
  /** Whether blocks below the diagonal have cheaper row work. */
  readonly compares: boolean;
  /** The weights into `p`; `masked` gives dead keys none. */
  readonly packWeights: (masked: boolean) => string;
  /** The accumulator's change between two products. */
  readonly rescale: string;
  readonly keepCarries: string;
  /** Adds what the four lanes of a row hold of deferred sums, once after the loop. */
  readonly joinLanes: string;
  readonly out: OutputText;
}

export function attentionMaths(form: AttentionForm, keys: number, valueDepth: number): AttentionMaths {
  const { program, dtype, loop, store, product } = form;
  const [query, key] = [form.query.axis, form.key.axis];
  const ops = new Map(form.rowWork.map((op) => [op.id, op]));
  const zeros = (id: ValueId): boolean =>
    form.prologue.some((op) => op.id === id && op.kind === "full" && op.value.const === 0);
  const carries = loop.args
    .map((arg, i) => ({ arg: arg.id, result: loop.results[i]!.id, i }))
    .filter(({ i }) => i !== form.accumulatorCarry);
  const carryLeaf =
    (i: number): Leaf =>
    (row) =>
      `carry${i}_r${row}`;
  const carried = [
    ...carries.map(({ arg, i }) => [arg, carryLeaf(i)] as const),
    ...carries.map(({ result, i }) => [result, carryLeaf(i)] as const),
  ];

  // Row work sees the scores; what touches the accumulator's columns is rescaling, done when the product has ended.
  const onAccumulator = (op: ValueOp): boolean => op.axes.includes(form.valueDepth);
  const scoreOps = form.rowWork.filter((op) => !onAccumulator(op));
  const scaleOps = form.rowWork.filter(onAccumulator);
  const scores = new FragmentWriter(
    program,
    { row: query, col: key },
    new Map([...carried, [form.scores, (r, c) => `s[4 * j + ${2 * r + c}]`]]),
  );
  const weights = ops.get(product.a);
  const weight = weights?.kind === "cast" ? weights.x : product.a;
  const wanted = [
    weight,
    ...loop.yields.filter((_, i) => i !== form.accumulatorCarry),
    ...scaleOps.flatMap((op) => rowInputs(op, scaleOps)),
  ];
  const deferred = deferredSums(loop, ops, zeros);
  const work = rowWork(
    scores,
    scoreOps.filter((op) => op !== weights || weight === product.a),
    wanted,
    keys,
    deferred,
  );
  const accumulatorArg = loop.args[form.accumulatorCarry]!.id;
  const accumulator: Leaf = (r, c) => `o[4 * j + ${2 * r + c}]`;
  const scale = new FragmentWriter(
    program,
    { row: query, col: form.valueDepth },
    new Map([...carried, [accumulatorArg, accumulator]]),
  );
  const scaleText = rescale(scale, scaleOps, product.acc!, accumulatorArg, valueDepth);

  const init = (i: number): string => {
    const op = form.prologue.find((o) => o.id === loop.init[i]) as FullOp;
    return literal(op.value, op.dtype);
  };
  const epilogueLeaves = new Map<ValueId, Leaf>([
    ...carried,
    [loop.results[form.accumulatorCarry]!.id, (r, c) => `o[(slice * 8 + j) * 4 + ${2 * r + c}]`],
  ]);
  const out = outputText(new FragmentWriter(program, { row: query, col: form.valueDepth }, epilogueLeaves), store, form.epilogue, {
    columns: valueDepth, firstColumn: "0", firstRow: "warp_row", columnSize: String(valueDepth), rowSize: `size_${query}`, buffers: 1, part: 64,
    outer: form.points.toReversed().map((p) => `point${p.id}`),
  }); // prettier-ignore

  const packWeights = (masked: boolean): string => {
    const at = (row: 0 | 1, col: 0 | 1): string => {
      const text = work.element(weight, row, col);
      return masked ? `(j * 8 + (lane & 3) * 2 + ${col} < live_columns ? ${text} : 0.f)` : text;
    };
    return `#pragma unroll
    for (int j = 0; j < ${keys / 8}; ++j) {
      p[j >> 1][2 * (j & 1)] = pack_${dtype}(${at(0, 0)}, ${at(0, 1)});
      p[j >> 1][2 * (j & 1) + 1] = pack_${dtype}(${at(1, 0)}, ${at(1, 1)});
    }`;
  };
  const keepCarries = carries
    .map(({ i }) =>
      [0, 1].map((r) => `carry${i}_r${r} = ${scores.variable(loop.yields[i]!, r as 0 | 1, 0)};`).join(" "),
    )
    .join("\n    ");
  const start = `${carries.map(({ i }) => `float carry${i}_r0 = ${init(i)}, carry${i}_r1 = ${init(i)};`).join("\n    ")}
    float o[${valueDepth / 2}];
#pragma unroll
    for (int i = 0; i < ${valueDepth / 2}; ++i) o[i] = ${init(form.accumulatorCarry)};`;
  const joinLanes = [...loop.yields.entries()]
    .filter(([, y]) => [...deferred].some((d) => sumOf(ops, y, d)))
    .flatMap(([i]) =>
      [0, 1].flatMap((r) => [1, 2].map((d) => `carry${i}_r${r} += __shfl_xor_sync(~0u, carry${i}_r${r}, ${d});`)),
    )
    .join(" ");
  return {
    start, rowWork: work.text, compares: work.compares, packWeights, rescale: scaleText, keepCarries, joinLanes, out,
  }; // prettier-ignore
}

const sumOf = (ops: ReadonlyMap<ValueId, ValueOp>, yielded: ValueId, sum: ValueId): boolean => {
  const add = ops.get(yielded);
  return add?.kind === "binary" && (add.x === sum || add.y === sum);
};

/** Row values that an op on the accumulator reads. */
const rowInputs = (op: ValueOp, own: readonly ValueOp[]): readonly ValueId[] =>
  op.kind === "binary"
    ? [op.x, op.y].filter((x): x is ValueId => typeof x === "number" && !own.some((o) => o.id === x))
    : [];

/** The accumulator's change between two products, in place. */
function rescale(
  writer: FragmentWriter,
  ops: readonly ValueOp[],
  result: ValueId,
  accumulator: ValueId,
  columns: number,
): string {
  if (result === accumulator) return "";
  const lines = writer
    .lines(ops)
    .group.map((line) => `      ${line}\n`)
    .join("");
  const back = (
    [
      [0, 0],
      [0, 1],
      [1, 0],
      [1, 1],
    ] as const
  )
    .map(([r, c]) => `      o[4 * j + ${2 * r + c}] = ${writer.variable(result, r, c)};\n`)
    .join("");
  return `#pragma unroll\n    for (int j = 0; j < ${columns / 8}; ++j) {\n${lines}${back}    }\n`;
}
