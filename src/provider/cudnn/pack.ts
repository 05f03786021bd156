// What cuDNN's convolutions want of their weights, made on the host once: filters with their channels innermost, and rows
// of zeros behind filters and biases whose number is no multiple of 8.

/** A weight of 16-bit numbers in another form. */
export interface HostPack {
  readonly input: number;
  readonly recipe: string;
  /** Elements before and after. */
  readonly from: number;
  readonly to: number;
  readonly make: (old: Uint16Array) => Uint16Array;
}

type Four = readonly [number, number, number, number];

/** From [O, C, R, S] to [filters, R, S, C]. */
export function filterPack(input: number, [O, C, R, S]: Four, filters: number): HostPack {
  const taps = R * S;
  return {
    input,
    recipe: filters === O ? "channels innermost" : `channels innermost, ${filters} filters`,
    from: O * C * taps,
    to: filters * C * taps,
    make(old) {
      const young = new Uint16Array(filters * C * taps);
      for (let o = 0, at = 0; o < O; o++)
        for (let tap = 0; tap < taps; tap++) for (let c = 0; c < C; c++) young[at++] = old[(o * C + c) * taps + tap]!;
      return young;
    },
  };
}

/** A bias with zeros behind it. */
export const biasPack = (input: number, O: number, filters: number): HostPack => ({
  input,
  recipe: `${filters} numbers`,
  from: O,
  to: filters,
  make(old) {
    const young = new Uint16Array(filters);
    young.set(old);
    return young;
  },
});
