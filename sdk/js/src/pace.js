const LEAST = { policy: "conflate", trades: "conflate", max_rate: 4 };

/**
 * Whether the program keeps up. It is behind when messages are older by `behindMs` than they were at best (they wait in a browser's
 * or the network's queues), or when a reader's queue is half full. It keeps up again after a calm, longer each time. Pure.
 */
export class Pace {
  #behind = false;
  #calmSince;
  #best = Infinity;
  #late = 0;

  constructor({ whenBehind, behindMs = 1000, calmMs = 10_000 } = {}, now = Date.now) {
    Object.assign(this, { choices: whenBehind === true ? LEAST : whenBehind, behindMs, calmMs, now });
  }

  saw({ ts_recv }) {
    // The engine's clock and ours may differ: only what comes on top of the smallest difference is lateness.
    const age = this.now() - ts_recv / 1000;
    this.#best = Math.min(this.#best, age);
    this.#late = age - this.#best;
  }

  /** `filled`: the fullest queue, 0 to 1. Returns a notice when the judgement changes. */
  judge(filled) {
    const now = this.now();
    const behind = filled > 0.5 || this.#late > this.behindMs;
    this.#calmSince = behind ? undefined : (this.#calmSince ?? now);
    if (behind === this.#behind || now - this.#calmSince < (this.#behind ? this.calmMs : 0)) return undefined;
    this.#behind = behind;
    if (!behind) this.calmMs = Math.min(2 * this.calmMs, 300_000);
    return { notice: "behind", behind, late_ms: Math.round(this.#late), filled };
  }
}
