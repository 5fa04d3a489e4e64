import { assetOf } from "./messages.js";

/**
 * What was missed: over a whole asset of which nothing is merged each `seq` of an epoch comes once. Of single symbols, and where the
 * engine merges, numbers are missing that were never ours, so nothing is said. Pure: messages in, notices out.
 */
export class Continuity {
  #last = new Map(); // asset: seq, where the numbers have to follow each other
  #epoch;

  /** Whether this is another life of the engine than the one before. */
  welcome({ epoch }) {
    const anew = this.#epoch !== undefined && epoch !== this.#epoch;
    this.#epoch = epoch;
    if (anew) this.#last.clear();
    return anew;
  }

  /** `exact`: the asset is subscribed as a whole, and nothing of it is merged. */
  data({ asset, seq }, exact) {
    return exact ? this.#follow(asset, seq, seq) : void this.#last.delete(asset);
  }

  /** What the engine itself says it left out. */
  gap({ asset, first_seq, last_seq }, exact) {
    return exact ? this.#follow(asset, first_seq, last_seq) : undefined;
  }

  /** A topic that comes back begins anywhere. */
  unsubscribed({ topics }) {
    for (const topic of topics) this.#last.delete(assetOf(topic));
  }

  #follow(asset, first, last) {
    const expected = this.#last.get(asset) + 1; // NaN at first
    if (!(last < expected)) this.#last.set(asset, last);
    return first > expected ? lost(asset, expected, first - 1, first - expected) : undefined;
  }
}

export const lost = (asset, first_seq, last_seq, count, more) => ({ notice: "lost", asset, first_seq, last_seq, count, ...more });
