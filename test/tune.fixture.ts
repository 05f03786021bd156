// A small component tuned and stored, for tests that end it in the middle: many products, each a region of its own.
import { compileComponents } from "../src/compile/compile.js";
import { openMachine } from "../src/compile/machine.js";
import { Words } from "../src/graph/words.js";
import { memoryStore, tensorOf, type Tensor } from "../src/weights/memory.js";

const PRODUCTS = 24;

const reference = { name: "reference", module: new URL("../src/provider/reference/provider.js", import.meta.url).href };
using machine = await openMachine({ threads: 1, specs: [reference] });
const g = new Words("many products");
let y = g.input("x", "f32", [16, 32]);
const weights: Record<string, Tensor> = {};
for (let n = 0; n < PRODUCTS; n++) {
  const shape = [33 + n, y.shape[1]!];
  weights[`w${n}`] = tensorOf("f32", shape, new Float32Array(shape[0]! * shape[1]!).fill(0.01));
  y = g.linear(y, g.weight(`w${n}`, "f32", shape));
}
const component = { name: "many products", graph: g.finish({ y }), weights: memoryStore(weights), runs: 1 };
const [compiled] = await compileComponents(machine, [component], { effort: "quick", budgetMs: 60_000 });
console.log(compiled!.origin);
