// What comes over /v1/noc and goes there: docs/noc-protocol.md and docs/telemetry.md, as far as the page shows it.
// Members that a later engine adds are ignored.

import type { Receipt } from "../../../sdk/js/src/index.js";

export interface Welcome {
  type: "welcome";
  protocol: number;
  engine: string;
  epoch: string;
  mode: "production" | "simulation";
  log_level: LogLevel;
  operations: string[];
  ports: { public: number; stream: number };
  secure: boolean;
}

export const LOG_LEVELS = ["debug", "info", "warning", "error"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export interface Process {
  pid: number;
  cpu_s: number;
  cpu_cores: number;
  memory_bytes: number;
  threads: number;
  open_fds: number;
}

export interface LagBucket {
  below_us?: number;
  count: number;
}

/** A source's place in the arena: docs/rest-api.md, "The arena". */
export interface Place {
  rank: number;
  asset: string;
  state: string;
  lag_us?: number;
  lag_smoothed_us?: number;
  ticks: number;
  silent_ms?: number;
  clock_error: boolean;
  severity?: number;
  degraded: boolean;
  lag_p50_us?: number;
  lag_p90_us?: number;
  lag_p99_us?: number;
  lag_least_us?: number;
  clock_ahead_us?: number;
  lags?: LagBucket[];
  ticks_per_s?: number;
  usual_ticks_per_s?: number;
  matches?: number;
  wins?: number;
  win_rate?: number;
  lead_us?: number;
  lead_mean_us?: number;
  leads?: boolean;
}

export interface Child {
  name: string;
  state: string;
  reason: string;
  detail: string;
  since_us: number;
  next_attempt_us: number | null;
  pid: number | null;
  restarts: number;
  last_exit_code: number | null;
  priority: number;
  process: Process | null;
}

export interface Health {
  state: "live" | "degraded" | "stale" | "down";
  cause: string | null;
  age_ms: number | null;
}

export interface Asset extends Child {
  kind: string;
  origin: string;
  market: string;
  wanted_by: number;
  ticks: number;
  lines: number;
  bytes: number;
  ticks_per_s: number;
  bytes_per_s: number;
  rejected: Record<string, number>;
  rejected_per_s: number;
  questioned: Record<string, number>;
  symbols: number;
  seq: number;
  /** What subscribers are told of it; null: there is nothing to judge. */
  health: Health | null;
  arena: Place | null;
}

export interface Outbox {
  published: number;
  delivered: number;
  queued_messages: number;
  skipped: number;
  conflated: number;
  killed: number;
  queued_bytes: number;
  oldest_ms: number;
  sent_bytes: number;
}

export interface Sink extends Child {
  topics: string[];
  production: boolean;
  cut_offs: number;
  outbox: Outbox | null;
  deliveries_per_s: number;
  bytes_per_s: number;
}

export interface Client {
  uuid: string;
  class: string;
  peer: string;
  connected_since: number;
  topics: number;
  policies: Record<string, number>;
  outbox: Outbox;
}

export interface Market {
  market: string;
  status: string;
  source: string;
  simulated: boolean;
  next_status: string | null;
  next_change_us: number | null;
  holiday: string | null;
  error: string | null;
  new_york: string;
}

export interface Telemetry {
  at: number;
  interval_s: number;
  engine: string;
  epoch: string;
  mode: string;
  uptime_s: number;
  log_level: LogLevel;
  pump_running: boolean;
  system: {
    engine: Process;
    cores: number;
    load_1m: number;
    memory_total_bytes: number;
    memory_available_bytes: number;
    most_fds: number;
    started_at: number;
  };
  rates: { turns_per_s: number; lines_per_s: number; sends_per_s: number; deliveries_per_s: number; bytes_per_s: number };
  assets: Asset[];
  sinks: Sink[];
  clients: {
    registered: number;
    connected: number;
    totals: Outbox & { waiting: number };
    endings: Record<string, number>;
    recent_endings: { client: string; receipt: Receipt }[];
    listed: Client[];
  };
  client_rates: Record<string, { deliveries_per_s: number; bytes_per_s: number }>;
  memory: { level: string; held_bytes: number; soft_bytes: number; hard_bytes: number; evictions: number; freed_bytes: number };
  bus: { published: number; dropped: number };
  logs: { emitted: number; written: number; dropped: number };
  dead_letters: { taken: number; lost: number };
  store: { state: string; pending: number; lost: number; last_error: string };
  config: { reloads: number; rejections: number };
  market: Market | null;
  servers: { not_ready: string[]; noc_connections: number; noc_commands: number; noc_refused: number; noc_dropped: number };
}

/** An event of the system bus; its kinds are in docs/noc-protocol.md. */
export interface BusEvent {
  event: string;
  [member: string]: unknown;
}

export interface LogLine {
  timestamp?: string;
  level?: string;
  component?: string;
  event?: string;
  [member: string]: unknown;
}

export interface LogFilter {
  level: LogLevel;
  component?: string;
  contains?: string;
}

export interface Plan {
  started: string[];
  stopped: string[];
  restarted: string[];
  unchanged: string[];
  hot: string[];
  needs_engine_restart: string[];
}

export interface Done {
  type: "done";
  op: string;
  id?: unknown;
  result?: unknown;
}
export interface Refusal {
  type: "error";
  op?: string;
  id?: unknown;
  problem: string;
  detail: string;
  field?: string;
  remedy?: string;
}

export type Message =
  | Welcome
  | { type: "telemetry"; telemetry: Telemetry }
  | { type: "event"; at: number; event: BusEvent }
  | { type: "log"; line?: LogLine; dropped?: number }
  | { type: "goodbye"; code: string }
  | Done
  | Refusal;
