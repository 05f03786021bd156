// Sound graphs pass; each broken rule is refused with a message that names the culprit. Printing is golden.
import assert from "node:assert/strict";
import test from "node:test";
import { TroupeError } from "../core/error.js";
import type { Graph, Node, Value } from "./node.js";
import { add, scale, silu } from "./op/elementwise.js";
import { printGraph } from "./print.js";
import { verifyGraph } from "./verify.js";
import { Words } from "./words.js";

function sound(): Graph {
  const g = new Words("sound");
  const x = g.input("x", "f32", [2, 4]);
  const [y, z] = g.within("block", () => {
    const y = g.silu(g.linear(x, g.weight(["wq", "wk"], "f32", [4, 4])));
    return [y, g.add(y, x)] as const;
  });
  g.apply(scale, { by: 1 }, [x], [y]);
  return g.finish({ z });
}

function cached(
  break_: (g: Words, parts: Record<"old" | "now" | "x" | "pages" | "lengths", Value>) => void = () => {},
): Graph {
  const g = new Words("cached");
  const old = g.state("cache", "f32", [2, 2, 1, 4]);
  const x = g.input("x", "f32", [1, 1, 1, 4]);
  const pages = g.input("pages", "i32", [1, 2]);
  const lengths = g.input("lengths", "i32", [1]);
  const now = g.pageAppend(old, x, pages, lengths);
  break_(g, { old, now, x, pages, lengths });
  g.becomes(old, now);
  return g.finish({ o: g.pagedAttention(x, now, now, pages, lengths) });
}

const refused = (graph: Graph, why: RegExp) =>
  assert.throws(
    () => verifyGraph(graph),
    (error) => error instanceof TroupeError && (assert.match(error.message, why), true),
  );
const withNode = (graph: Graph, index: number, change: Partial<Node>): Graph => ({
  ...graph,
  nodes: graph.nodes.with(index, { ...graph.nodes[index]!, ...change }),
});

test("sound graphs pass", () => {
  verifyGraph(sound());
  verifyGraph(cached());
});

test("a graph prints one line a source and a node", () => {
  assert.equal(
    printGraph(sound()),
    `graph sound
  %0 x: f32[2, 4] = input x
  %1 wq+wk: f32[4, 4] = weight wq + wk
  %2 block.linear: f32[2, 4] = linear(%0, %1)
  %3 block.silu: f32[2, 4] = silu(%2)
  %4 block.add: f32[2, 4] = add(%3, %0)
  %3 block.silu: f32[2, 4] = scale(%0) {by: 1}  # alternative
  output z = %4 block.add
`,
  );
  assert.match(printGraph(cached()), /state cache: %0 cache becomes %4 page_append\n {2}output o = %5 paged_attention/);
});

test("ids that do not exist or exist twice are refused", () => {
  const graph = sound();
  refused({ ...graph, values: [...graph.values, graph.values[0]!] }, /value %0 x stands in place 5/);
  refused(withNode(graph, 1, { id: 0 }), /two nodes have one id/);
  refused(withNode(graph, 2, { inputs: [3, 99] }), /node 2 block.add \(add\) names %99, which is no value/);
  refused({ ...graph, outputs: [{ name: "z", value: 77 }] }, /output z = %77 is no value/);
  refused({ ...graph, values: [...graph.values, { ...graph.values[0]!, id: 5, name: "lost" }] }, /%5 lost has neither/);
  refused({ ...graph, sources: new Map([...graph.sources, [3, { kind: "input", name: "y" }]]) }, /a source and a prod/);
  refused({ ...graph, outputs: [...graph.outputs, ...graph.outputs] }, /two outputs are named z/);
});

test("a reader before its producer, an unknown op and a wrong type are refused by name", () => {
  const graph = sound();
  const [first, second, ...rest] = graph.nodes;
  refused(
    { ...graph, nodes: [second!, first!, ...rest] },
    /silu\) reads value %2 block.linear before node 0 block.linear/,
  );
  refused(withNode(graph, 1, { op: "sliu" }), /node 1 block.silu \(sliu\) has no known op/);
  const values = graph.values.with(3, { ...graph.values[3]!, shape: [4, 2] });
  refused({ ...graph, values }, /node 1 block.silu \(silu\) makes f32\[2, 4\], but value %3 block.silu is f32\[4, 2\]/);
  refused(withNode(graph, 1, { outputs: [3, 4] }), /has 2 outputs, its op makes 1/);
});

test("an alternative of another type or one that needs its own output is refused", () => {
  const g = new Words("alternatives");
  const x = g.input("x", "f32", [2, 4]);
  const y = g.silu(x);
  const z = g.mul(y, 2);
  const wrong = g.input("wrong", "f32", [1, 4]);
  const graph = g.finish({ z });
  const other = (inputs: number[]): Graph => ({
    ...graph,
    nodes: [...graph.nodes, { id: 9, op: silu.name, params: {}, inputs, outputs: [y.id], name: "other" }],
  });
  verifyGraph(other([x.id]));
  refused(other([wrong.id]), /other \(silu\) makes f32\[1, 4\]/);
  refused(other([z.id]), /other \(silu\) is an alternative for %1, which its inputs need/);
});

test("a constant of the wrong length is refused", () => {
  const g = new Words("constant");
  const graph = g.finish({ c: g.silu(g.constant([1, 2], "f32", [2])) });
  verifyGraph(graph);
  refused({ ...graph, sources: new Map([[0, { kind: "constant", data: [1] }]]) }, /f32\[2\] but has 1 elements/);
});

test("a version of a state is written once, from a state, and read before its writer only", () => {
  const { id } = cached().values[0]!;
  refused(
    cached((g, p) => g.pageAppend(p.old, p.x, p.pages, p.lengths)),
    /writes value %0 cache, which node 0/,
  );
  refused(
    cached((g, p) => g.copy(p.old)),
    /\(copy\) reads %0 after node 0 page_append/,
  );
  refused(
    cached((g, p) => g.copy(g.reshape(p.old, [4, 4]))),
    /\(reshape\) reads %0 after/,
  );
  refused(
    cached((g, p) => g.pageAppend(p.now, p.x, p.pages, p.lengths)),
    /reads %4 after node 1 page_append/,
  );
  refused(
    cached((g, p) => g.pageAppend(g.copy(p.now), p.x, p.pages, p.lengths)),
    /copy, which is no state/,
  );
  refused({ ...cached(), states: [] }, /state cache is written by node 0 .* not threaded out/);
  refused(
    { ...cached(), states: [{ name: "cache", from: id, to: 1 }] },
    /state cache is f32\[2, 2, 1, 4\] but ends at value %1 x, which is f32\[1, 1, 1, 4\]/,
  );
  refused(
    { ...cached(), outputs: [{ name: "o", value: id }] },
    /output o is %0, which node 0 page_append .* overwrites/,
  );
});

test("the version threaded out must be the last", () => {
  const g = new Words("early");
  const old = g.state("cache", "f32", [2, 2, 1, 4]);
  const [pages, lengths] = [g.input("pages", "i32", [1, 2]), g.input("lengths", "i32", [1])];
  const x = g.input("x", "f32", [1, 1, 1, 4]);
  const now = g.pageAppend(old, x, pages, lengths);
  g.pageAppend(now, x, pages, lengths);
  g.becomes(old, now);
  refused(g.finish({}), /state cache ends at %4, which node 1 page_append \(page_append\) overwrites/);
});

test("a view of a state taken before the write must not be read after it", () => {
  const g = new Words("view");
  const old = g.state("cache", "f32", [2, 2, 1, 4]);
  const first = g.reshape(g.slice(old, 0, 0, 1), [1, 2, 1, 4]);
  const now = g.pageAppend(
    old,
    g.input("x", "f32", [1, 1, 1, 4]),
    g.input("p", "i32", [1, 2]),
    g.input("n", "i32", [1]),
  );
  g.becomes(old, now);
  refused(g.finish({ o: g.add(first, g.slice(now, 0, 0, 1)) }), new RegExp(`\\(${add.name}\\) reads %0 after`));
});

test("a state may end at a value made elsewhere, but not at a version that is overwritten, or a view of one", () => {
  const ends = (end: (g: Words, old: Value) => Value): Graph => {
    const g = new Words("ends");
    const old = g.state("cache", "f32", [2, 2, 1, 4]);
    const other = g.state("other", "f32", [2, 2, 1, 4]);
    const x = g.input("x", "f32", [1, 1, 1, 4]);
    const [pages, lengths] = [g.input("pages", "i32", [1, 2]), g.input("lengths", "i32", [1])];
    g.becomes(other, end(g, old));
    g.becomes(old, g.pageAppend(old, x, pages, lengths));
    return g.finish({});
  };
  verifyGraph(ends((g, old) => g.mul(old, 0.5)));
  refused(
    ends((_g, old) => old),
    /state other ends at %0, which node 0 page_append/,
  );
  refused(
    ends((g, old) => g.reshape(g.reshape(old, [16]), [2, 2, 1, 4])),
    /state other ends at %6, which node 2 page_append/,
  );
});
