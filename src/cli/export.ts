// troupe export: the components of a model as ONNX files, weights beside them, loaded by ONNX Runtime before they count.
import { mkdir, open, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Command } from "commander";
import type { Component } from "../compile/component.js";
import { messageOf, TroupeError } from "../core/error.js";
import { dtypeBytes } from "../core/dtype.js";
import { sizeOf } from "../core/shape.js";
import { Regions } from "../graph/region.js";
import { imageComponents, openImageModel } from "../pipeline/image/components.js";
import { imageShape } from "../pipeline/image/shape.js";
import { plainNodes } from "../plan/propose.js";
import { showBytes } from "../plan/print.js";
import { OnnxRuntime } from "../provider/onnxruntime/binding.js";
import { exportRegion } from "../provider/onnxruntime/export.js";
import { encodeModel, type OnnxFileData } from "../provider/onnxruntime/onnx.js";
import { isCannot } from "../provider/provider.js";
import { rewriteGraph } from "../rewrite/passes.js";
import { bytesOf } from "../session/weight-reader.js";
import type { CommandContext } from "./context.js";
import { pixels, steps, type ModelFlags } from "./options.js";
import { Ui } from "./ui.js";

interface ExportFlags extends Pick<ModelFlags, "size" | "json" | "quiet"> {
  readonly steps?: number;
}

/** Readers map files: data begins at multiples of this. */
const ALIGNMENT_BYTES = 64;

export const exportCommand = ({ signal }: CommandContext): Command =>
  new Command("export")
    .description("write the components as ONNX files in f32, checked by ONNX Runtime's own loader")
    .argument("<model>", "folder of a FLUX.1 model in the Hugging Face layout")
    .argument("<folder>", "where the files go")
    .option("--size <WxH>", "pixels", pixels)
    .option("--steps <count>", "denoise steps there must be room for", steps)
    .option("--json", "print JSON lines")
    .option("--quiet", "print results only")
    .action(async (source: string, folder: string, flags: ExportFlags) => {
      const ui = new Ui(flags);
      const model = await openImageModel(source);
      try {
        const shape = imageShape(model, { size: flags.size, steps: flags.steps, dtype: "f32" });
        const components = Object.values(imageComponents(model, shape));
        await mkdir(folder, { recursive: true });
        const found = OnnxRuntime.open({ threads: 1 });
        if (isCannot(found)) ui.warn(`the files are not checked: ${found.cannot}`);
        using ort = isCannot(found) ? undefined : found;
        for (const component of components) {
          signal.throwIfAborted();
          const { file, bytes } = await exportComponent(component, folder, ort);
          ui.data("exported", { component: component.name, file, bytes, checked: ort !== undefined });
          ui.result(`${file}  ${showBytes(bytes)} of weights${ort ? `, loaded by ONNX Runtime ${ort.version}` : ""}`);
        }
      } catch (error) {
        if (error instanceof TroupeError) throw error;
        if (signal.aborted) throw new TroupeError("cancelled", "the export was interrupted", { cause: error });
        throw new TroupeError("io", `cannot write into ${folder}: ${messageOf(error)}`, {
          advice: "Name a folder that can be written and has room.",
          cause: error,
        });
      } finally {
        await model.close();
      }
    });

/** Data first, model last, each by atomic rename: a model that is there has its weights beside it. */
async function exportComponent(
  { name, graph: asBuilt, weights: store }: Component,
  folder: string,
  ort: OnnxRuntime | undefined,
): Promise<{ readonly file: string; readonly bytes: number }> {
  const regions = new Regions(rewriteGraph(asBuilt));
  const region = regions.cut(plainNodes(regions));
  if ("cannot" in region) throw new TroupeError("plan", `${name} cannot be exported: ${region.cannot}`);
  const exported = exportRegion(region);
  if (isCannot(exported)) throw new TroupeError("plan", `${name} cannot be exported: ${exported.cannot}`);
  const { graph, sources } = { graph: region.graph, sources: region.graph.sources };
  const [dataFile, file] = [`${name}.onnx.data`, join(folder, `${name}.onnx`)];
  const places = new Map<string, OnnxFileData>();
  const temporary = join(folder, `${dataFile}.${process.pid}.tmp`);
  let end = 0;
  try {
    const handle = await open(temporary, "w");
    try {
      for (const port of exported.weights) {
        const { root, offset } = regions.storage.get(region.inputs[port.index]!.value)!;
        const all = await bytesOf(graph.values[root]!, sources.get(root)!, store);
        const [from, bytes] = [offset * dtypeBytes(port.dtype as "f32"), sizeOf(port.shape) * dtypeBytes(port.dtype as "f32")]; // prettier-ignore
        await handle.write(all, from, bytes, end);
        places.set(port.name, { file: dataFile, offsetBytes: end, bytes });
        end = Math.ceil((end + bytes) / ALIGNMENT_BYTES) * ALIGNMENT_BYTES;
      }
    } finally {
      await handle.close();
    }
    await rm(file, { force: true }); // an older model must not stand beside these weights
    await rename(temporary, join(folder, dataFile));
    const initializers = exported.graph.initializers.map((one) => ({ ...one, data: places.get(one.name) ?? one.data }));
    const pending = `${file}.${process.pid}.tmp`;
    await writeFile(pending, encodeModel({ ...exported.graph, initializers }));
    const refusal = ort?.loadFile(pending);
    if (refusal) {
      await rm(pending, { force: true });
      throw new TroupeError("provider", `${name}: ${refusal.cannot}`);
    }
    await rename(pending, file);
  } finally {
    await rm(temporary, { force: true }).catch(() => undefined);
  }
  return { file, bytes: end };
}
