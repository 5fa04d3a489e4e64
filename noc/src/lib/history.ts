// The last minutes of figures, for charts and sparklines. Only what came while the page was open: the engine keeps none.

import type { Telemetry } from "./protocol";

export interface Point {
  /** Seconds since the epoch. */
  time: number;
  value: number;
}

const CHART_POINTS = 600;
const SPARK_POINTS = 60;

/** Bounded, times rising; a second point of one second takes the first one's place. */
export class Track {
  readonly points: Point[] = [];

  add(time: number, value: number): void {
    const last = this.points.at(-1);
    if (last && time < last.time) return;
    if (last?.time === time) last.value = value;
    else this.points.push({ time, value });
    if (this.points.length > CHART_POINTS) this.points.shift();
  }
}

export class History {
  readonly linesIn = new Track();
  readonly deliveries = new Track();
  readonly lagBest = new Track();
  readonly lagMiddle = new Track();
  readonly lagWorst = new Track();
  readonly lags = new Map<string, number[]>();
  readonly rates = new Map<string, number[]>();

  add(telemetry: Telemetry): void {
    const time = Math.floor(telemetry.at / 1e6);
    this.linesIn.add(time, telemetry.rates.lines_per_s);
    this.deliveries.add(time, telemetry.rates.deliveries_per_s);
    const lags: number[] = [];
    for (const asset of telemetry.assets) {
      push(this.rates, asset.name, asset.ticks_per_s);
      const lag = asset.arena?.lag_smoothed_us;
      if (lag === undefined || asset.state !== "running") continue;
      push(this.lags, asset.name, lag);
      lags.push(lag / 1000);
    }
    lags.sort((a, b) => a - b);
    if (!lags.length) return;
    this.lagBest.add(time, lags[0]!);
    this.lagMiddle.add(time, lags[lags.length >> 1]!);
    this.lagWorst.add(time, lags.at(-1)!);
  }
}

function push(series: Map<string, number[]>, name: string, value: number): void {
  let values = series.get(name);
  if (!values) series.set(name, (values = []));
  values.push(value);
  if (values.length > SPARK_POINTS) values.shift();
}
