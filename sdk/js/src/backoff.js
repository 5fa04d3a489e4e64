/** Pauses between attempts: twice as long each time up to a cap, each with a random part. Pure but for `random`. */
export class Backoff {
  #attempts = 0;

  constructor({ initialMs = 500, maxMs = 30_000 } = {}, random = Math.random) {
    Object.assign(this, { initialMs, maxMs, random });
  }

  next() {
    const ceiling = Math.min(this.maxMs, this.initialMs * 2 ** this.#attempts++);
    return ceiling * (0.5 + this.random() / 2);
  }

  reset() {
    this.#attempts = 0;
  }
}
