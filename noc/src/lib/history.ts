// The last minutes of figures, for charts and sparklines. Only what came while the page was open: the engine keeps none.

import type { Telemetry } from "./protocol";

export interface Point {
  /** Seconds since the epoch. */
  time: number;
  value: number;
}

const CHART_POINTS = 600;
const ASSET_POINTS = 120;

/** Bounded, times rising; a second point of one second takes the first one's place. */
export class Track {
  readonly points: Point[] = [];

  constructor(readonly most = CHART_POINTS) {}

  add(time: number, value: number): void {
    const last = this.points.at(-1);
    if (last && time < last.time) return;
    if (last?.time === time) last.value = value;
    else this.points.push({ time, value });
    if (this.points.length > this.most) this.points.shift();
  }
}

export class History {
  readonly linesIn = new Track();
  readonly deliveries = new Track();
  /** In microseconds. */
  readonly lagBest = new Track();
  readonly lagMiddle = new Track();
  readonly lagWorst = new Track();
  /** By asset; in microseconds. */
  readonly lags = new Map<string, Track>();
  /** By asset; ticks a second. */
  readonly rates = new Map<string, Track>();

  add(telemetry: Telemetry): void {
    const time = Math.floor(telemetry.at / 1e6);
    this.linesIn.add(time, telemetry.rates.lines_per_s);
    this.deliveries.add(time, telemetry.rates.deliveries_per_s);
    const lags: number[] = [];
    for (const asset of telemetry.assets) {
      track(this.rates, asset.name).add(time, asset.ticks_per_s);
      const lag = asset.arena?.lag_smoothed_us;
      if (lag === undefined || asset.state !== "running") continue;
      track(this.lags, asset.name).add(time, lag);
      lags.push(lag);
    }
    lags.sort((a, b) => a - b);
    if (!lags.length) return;
    this.lagBest.add(time, lags[0]!);
    this.lagMiddle.add(time, lags[lags.length >> 1]!);
    this.lagWorst.add(time, lags.at(-1)!);
  }
}

function track(tracks: Map<string, Track>, name: string): Track {
  let found = tracks.get(name);
  if (!found) tracks.set(name, (found = new Track(ASSET_POINTS)));
  return found;
}
