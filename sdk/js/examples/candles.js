/** Candles of one symbol, made of its trades (of its quotes' middles while there are none). Pure: ticks in, numbers for drawing out. */
export class Candles {
  #bars = [];

  constructor(seconds = 5, limit = 120) {
    Object.assign(this, { seconds, limit });
  }

  /** For drawing a float is good enough; calculate with the strings. */
  add({ price, bid_price, ask_price, ts_event }) {
    const value = price !== undefined ? Number(price) : (Number(bid_price) + Number(ask_price)) / 2;
    if (!Number.isFinite(value)) return;
    const start = Math.floor(ts_event / 1e6 / this.seconds) * this.seconds;
    let bar = this.#bars.at(-1);
    if (!bar || start > bar.start) {
      this.#bars.push((bar = { start, open: value, high: value, low: value, close: value }));
      if (this.#bars.length > this.limit) this.#bars.shift();
    } else if (start < bar.start) return; // late: its bar is finished
    bar.high = Math.max(bar.high, value);
    bar.low = Math.min(bar.low, value);
    bar.close = value;
  }

  get bars() {
    return this.#bars;
  }
}

/** Draws bars onto a canvas in its own size, in the colours that the page's style gives. */
export function draw(canvas, bars) {
  const scale = globalThis.devicePixelRatio ?? 1;
  const { clientWidth: width, clientHeight: height } = canvas;
  Object.assign(canvas, { width: width * scale, height: height * scale });
  const context = canvas.getContext("2d");
  context.scale(scale, scale);
  const style = getComputedStyle(canvas);
  const [text, rising, falling] = ["--text", "--rising", "--falling"].map((name) => style.getPropertyValue(name));
  context.font = "12px system-ui, sans-serif";
  context.fillStyle = text;
  if (!bars.length) return context.fillText("waiting for ticks…", 16, 24);

  const right = 90, step = 10;
  const shown = bars.slice(-Math.max(1, Math.floor((width - right) / step)));
  const high = Math.max(...shown.map((bar) => bar.high));
  const low = Math.min(...shown.map((bar) => bar.low));
  const y = (value) => 16 + ((high - value) / (high - low || 1)) * (height - 32);
  for (const value of high > low ? [high, (high + low) / 2, low] : [high]) context.fillText(value.toPrecision(8), width - right + 8, y(value) + 4);
  for (const [place, { open, high: top, low: bottom, close }] of shown.entries()) {
    const x = width - right - (shown.length - place) * step + step / 2; // the newest at the right
    context.fillStyle = context.strokeStyle = close >= open ? rising : falling;
    context.beginPath();
    context.moveTo(x, y(top));
    context.lineTo(x, y(bottom));
    context.stroke();
    const body = [x - 3, Math.min(y(open), y(close)), 6, Math.max(1, Math.abs(y(open) - y(close)))];
    // Hollow or filled: to be told apart without colours.
    if (close >= open) {
      context.clearRect(...body);
      context.strokeRect(...body);
    } else context.fillRect(...body);
  }
}
