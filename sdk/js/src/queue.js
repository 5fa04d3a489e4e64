/**
 * What waits for one reader, as an async iterator. Bounded: a reader that is too slow loses what data waits and goes on with now,
 * as the engine does it under its policy `skip`; `dropped` is told what that was. `left` is called once the reader leaves.
 */
export class Queue {
  #items = [];
  #head = 0;
  #readers = [];
  #end;

  constructor(limit, dropped, left) {
    Object.assign(this, { limit, dropped, left });
  }

  get length() {
    return this.#items.length - this.#head;
  }

  push(value) {
    const reader = this.#readers.shift();
    if (reader) return reader.resolve({ value, done: false });
    if (this.length >= this.limit) {
      const waiting = this.take();
      this.#items = waiting.filter(isControl).slice(-this.limit / 2);
      this.dropped(waiting.filter((each) => !isControl(each)));
    }
    this.#items.push(value);
  }

  /** All that waits, at once. */
  take() {
    const items = this.#items.slice(this.#head);
    this.#items = [];
    this.#head = 0;
    return items;
  }

  /** The reader gets what waits, then the error, if there is one, once. */
  end(error) {
    this.#end ??= { error };
    for (const reader of this.#readers.splice(0)) this.#finish(reader);
  }

  next() {
    return new Promise((resolve, reject) => {
      if (this.length) {
        const value = this.#items[this.#head++];
        if (this.#head > 999 || !this.length) this.#items = this.take();
        resolve({ value, done: false });
      } else if (this.#end) this.#finish({ resolve, reject });
      else this.#readers.push({ resolve, reject });
    });
  }

  async return() {
    this.take();
    this.end();
    this.left();
    return { done: true };
  }

  #finish({ resolve, reject }) {
    const { error } = this.#end;
    this.#end.error = undefined;
    if (error) reject(error);
    else resolve({ done: true });
  }

  [Symbol.asyncIterator]() {
    return this;
  }
}

const isControl = ({ seq }) => seq === undefined;
