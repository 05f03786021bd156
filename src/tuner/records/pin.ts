// A pin: a line that somebody wrote by hand into a record file, to say which candidate computes an op, whatever the times.
//
//     {"pin": "linear f32 *", "provider": "onednn"}
//     {"pin": "linear+gelu_tanh", "provider": "tile", "id": "linear+gelu_tanh 14x2 M108 N256 K256 panels of 32"}
import { z } from "zod";

export const pinSchema = z.strictObject({
  /** A region's signature, its title, or its ops joined by "+"; `*` stands for any text. */
  pin: z.string().min(1),
  provider: z.string().min(1),
  /** Any candidate of the provider, the fastest, unless given. */
  id: z.string().min(1).optional(),
  /** For whoever reads the line. */
  why: z.string().optional(),
});

export interface Pin extends z.infer<typeof pinSchema> {
  /** "records.jsonl:12" */
  readonly at: string;
}

export const showPin = ({ pin, provider, id, at }: Pin): string =>
  `pin ${at} (${pin} by ${provider}${id === undefined ? "" : ` ${id}`})`;
