// Which of some ways is the fastest, as a sorted table of the heights where that changes: a choice is a binary search.
// How time grows with height is not smooth (blocks fill up, waves begin), so a way may win, lose and win again; the
// table is therefore made by looking at every height and not by looking for one change between two.

/** Most looks for one table, as a power of two; a table of more heights looks at every 2nd, 4th, … of them. */
const MOST_LOOKS_LOG2 = 11;

export class BreakPoints {
  /** Ascending; the first is where the table begins. */
  readonly starts: readonly number[];
  /** From each start to the next. */
  readonly ways: readonly number[];

  /**
   * The table of the heights 2^magnitude … 2^(magnitude + 1) - 1. It is exact below 2^12 rows. Above, looks lie
   * 2^(magnitude - 11) apart; where neighbouring looks differ, what lies between is halved until the change is found,
   * and where they agree, another winner between them is missed.
   */
  constructor(magnitude: number, fastestAt: (rows: number) => number) {
    const [begin, end] = [2 ** magnitude, 2 ** (magnitude + 1)];
    const step = 2 ** Math.max(0, magnitude - MOST_LOOKS_LOG2);
    const starts = [begin];
    const ways = [fastestAt(begin)];
    const between = (low: number, lowWay: number, high: number, highWay: number): void => {
      if (lowWay === highWay) return;
      if (high - low > 1) {
        const middle = (low + high) >> 1;
        const way = fastestAt(middle);
        between(low, lowWay, middle, way);
        between(middle, way, high, highWay);
      } else {
        starts.push(high);
        ways.push(highWay);
      }
    };
    for (let [low, way] = [begin, ways[0]!]; low < end - 1;) {
      const high = Math.min(low + step, end - 1);
      const next = fastestAt(high);
      between(low, way, high, next);
      [low, way] = [high, next];
    }
    this.starts = starts;
    this.ways = ways;
  }

  at(rows: number): number {
    let [low, high] = [0, this.starts.length];
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (this.starts[middle]! <= rows) low = middle;
      else high = middle;
    }
    return this.ways[low]!;
  }
}

export const magnitudeOf = (rows: number): number => Math.floor(Math.log2(rows));
