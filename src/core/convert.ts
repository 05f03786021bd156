// Conversion of dense tensors between float types, fast where checkpoints need it (bf16 and f16 to f32 and back).
import { dtypeBytes, fromF16Bits, readElement, toBf16Bits, writeElement, type DType } from "./dtype.js";

/** Writes the elements of `from` (dtype `fromType`) into `to` (dtype `toType`); both hold the same count, 4-byte aligned. */
export function convertElements(from: Uint8Array, fromType: DType, to: Uint8Array, toType: DType): void {
  const count = to.byteLength / dtypeBytes(toType);
  if (fromType === toType) return to.set(from);
  if (fromType === "bf16" && toType === "f32") {
    const source = new Uint16Array(from.buffer, from.byteOffset, count);
    const target = new Uint32Array(to.buffer, to.byteOffset, count);
    for (let i = 0; i < count; i++) target[i] = source[i]! << 16;
    return;
  }
  if (fromType === "f32" && toType === "bf16") {
    const source = new Float32Array(from.buffer, from.byteOffset, count);
    const target = new Uint16Array(to.buffer, to.byteOffset, count);
    for (let i = 0; i < count; i++) target[i] = toBf16Bits(source[i]!);
    return;
  }
  if (fromType === "f16" && toType === "f32") {
    const source = new Uint16Array(from.buffer, from.byteOffset, count);
    const target = new Float32Array(to.buffer, to.byteOffset, count);
    for (let i = 0; i < count; i++) target[i] = fromF16Bits(source[i]!);
    return;
  }
  const source = new DataView(from.buffer, from.byteOffset, from.byteLength);
  const target = new DataView(to.buffer, to.byteOffset, to.byteLength);
  for (let i = 0; i < count; i++) writeElement(target, toType, i, readElement(source, fromType, i));
}
