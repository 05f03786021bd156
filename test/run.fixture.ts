// A small component compiled without measuring and run once, with what compiling said: for tests that let it die.
import { compileComponents } from "../src/compile/compile.js";
import { openMachine } from "../src/compile/machine.js";
import { Words } from "../src/graph/words.js";
import { Session } from "../src/session/session.js";
import { memoryStore } from "../src/weights/memory.js";

const spec = (name: string, path: string) => ({ name, module: new URL(path, import.meta.url).href });
const specs = [
  spec("fall", "./providers/fall/provider.js"),
  spec("reference", "../src/provider/reference/provider.js"),
];
using machine = await openMachine({ threads: 1, specs });
const g = new Words("small");
const x = g.input("x", "f32", [4, 8]);
const component = { name: "small", graph: g.finish({ y: g.silu(g.add(x, x)) }), weights: memoryStore({}), runs: 1 };
const [compiled] = await compileComponents(machine, [component], {
  effort: process.argv[2] === "quick" ? "quick" : "none",
  onEvent: (event) => event.kind === "note" && console.log(event.text),
});
const { graph, plan, origin } = compiled!;
console.log(`${origin}: ${plan.steps.map(({ choice }) => choice.provider).join(" ")}`);
const { providers, device } = machine;
using session = await Session.load({ graph, plan, providers, device, weights: component.weights });
await session.run();
console.log("ran");
