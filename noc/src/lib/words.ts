// Words and marks for states, severities and events. A mark has a shape of its own, so it is told apart without colour.

import type { Receipt } from "../../../sdk/js/src/index.js";
import { bytes, count, long, rate, span } from "./format";
import type { Asset, BusEvent, Child, Health, Place } from "./protocol";

export type Tone = "good" | "warn" | "bad" | "quiet";
export interface Mark {
  sign: string;
  tone: Tone;
}

const STATES: Record<string, Mark> = {
  running: { sign: "●", tone: "good" },
  idle: { sign: "○", tone: "quiet" },
  starting: { sign: "◔", tone: "warn" },
  stopping: { sign: "◕", tone: "warn" },
  backoff: { sign: "▲", tone: "bad" },
  paused: { sign: "❚❚", tone: "quiet" },
  done: { sign: "■", tone: "quiet" },
  misconfigured: { sign: "✖", tone: "bad" },
  tripped: { sign: "✖", tone: "bad" },
};
const UNKNOWN: Mark = { sign: "?", tone: "quiet" };
export const stateMark = (state: string): Mark => STATES[state] ?? UNKNOWN;

const SEVERITIES: (Mark & { word: string })[] = [
  { sign: "●", tone: "good", word: "healthy" },
  { sign: "▲", tone: "warn", word: "late" },
  { sign: "▲▲", tone: "warn", word: "very late" },
  { sign: "▲▲▲", tone: "bad", word: "stale" },
  { sign: "✖", tone: "bad", word: "lost" },
];
export function severityMark(severity: number | undefined): Mark & { word: string } {
  if (severity === undefined) return { sign: "○", tone: "quiet", word: "at rest" };
  return SEVERITIES[severity] ?? { sign: "?", tone: "quiet", word: String(severity) };
}

/** A clock that is ahead of ours makes a source look the quicker, so it is never a healthy one. */
export const placeMark = (place: Place): Mark & { word: string } =>
  place.clock_error && !place.severity && place.severity !== undefined ? { sign: "▲", tone: "warn", word: "clock ahead" } : severityMark(place.severity);

const FAILED = new Set(["backoff", "tripped", "misconfigured"]);
const HEALTHS: Record<Health["state"], Mark> = {
  live: { sign: "●", tone: "good" },
  degraded: { sign: "▲", tone: "warn" },
  stale: { sign: "◆", tone: "bad" },
  down: { sign: "✖", tone: "bad" },
};
const AT_REST: Mark = { sign: "○", tone: "quiet" };
export const healthMark = (health: Health | null): Mark => (health ? HEALTHS[health.state] : AT_REST);
export const healthWord = (health: Health | null): string => health?.state ?? "at rest";
const HEALTH_ORDER = ["down", "stale", "degraded", "live"];
/** The worst first, those at rest last. */
export const healthOrder = (health: Health | null): number => (health ? HEALTH_ORDER.indexOf(health.state) : HEALTH_ORDER.length);

/** Why, in words; empty: it is well, or rests. */
export function cause({ state, health, arena }: Asset): string {
  switch (health?.cause) {
    case "lag":
      return `late by ${span(arena?.lag_smoothed_us)}`;
    case "mute":
      return health.age_ms === null ? "it has told nothing yet" : `silent for ${long(health.age_ms / 1_000)}`;
    case "rate_collapsed":
      return `${rate(arena?.ticks_per_s ?? 0)} ticks/s, usually ${rate(arena?.usual_ticks_per_s ?? 0)}`;
    case "clock_error":
      return "its clock is ahead of ours";
    case "not_running":
      return FAILED.has(state) ? "its program does not run" : "its program runs again, and has to prove itself";
    default:
      return health?.cause ?? "";
  }
}

/** What is wrong with an asset; undefined: nothing. */
export function trouble(asset: Asset): string | undefined {
  return failure(asset) ?? unwell(asset);
}

/** Why an asset or a sink does not run, though it should; undefined: it does, or need not. */
export function failure({ state, reason, detail }: Child): string | undefined {
  return FAILED.has(state) ? `${state}: ${[reason, detail].filter(Boolean).join(", ")}` : undefined;
}

function unwell(asset: Asset): string | undefined {
  return asset.health && asset.health.state !== "live" ? `${asset.health.state}: ${cause(asset)}` : undefined;
}

export function receipt(given: Receipt): string {
  const parts = [given.detail];
  if (given.queued_messages) parts.push(`${count(given.queued_messages)} messages (${bytes(given.queued_bytes)}) were never delivered`);
  parts.push(`${count(given.delivered)} were delivered`);
  if (given.last_asset !== undefined) parts.push(`the last was ${given.last_asset} ${given.last_seq}`);
  return parts.filter(Boolean).join("; ");
}

const text = (value: unknown): string => (typeof value === "string" ? value : value === undefined || value === null ? "" : JSON.stringify(value));
const names = (value: unknown): string => (Array.isArray(value) && value.length ? value.join(", ") : "none");

/** What an event tells, in a line. Kinds that we do not know show their members. */
export function told(event: BusEvent): { tone: Tone; subject: string; text: string } {
  const subject = text(event.asset ?? event.client ?? event.symbol ?? event.market ?? "");
  switch (event.event) {
    case "AssetStateChanged": {
      const why = [text(event.reason), text(event.detail)].filter(Boolean).join(", ");
      const exit = typeof event.exit_code === "number" && !text(event.detail) ? `, exit code ${event.exit_code}` : "";
      return { tone: stateMark(text(event.state)).tone, subject, text: `${text(event.previous)} → ${text(event.state)}: ${why}${exit}` };
    }
    case "IngestorStatus":
      return { tone: "quiet", subject, text: `says ${text(event.status)}` };
    case "LinesRejected": {
      const counts = Object.entries((event.counts ?? {}) as Record<string, number>);
      return { tone: "warn", subject, text: `rejected ${counts.map(([reason, n]) => `${count(n)} × ${reason}`).join(", ")}` };
    }
    case "ClientRegistered":
      return { tone: "quiet", subject, text: "registered" };
    case "ClientUnregistered":
      return { tone: "quiet", subject, text: `unregistered: ${text(event.reason)}` };
    case "ClientConnected":
      return { tone: "good", subject, text: `connected from ${text(event.peer)}` };
    case "ClientDisconnected": {
      const given = event.receipt as Receipt;
      return { tone: given.reason === "client_left" ? "quiet" : "warn", subject, text: `${given.reason}: ${receipt(given)}` };
    }
    case "CommandReceived":
      return { tone: "quiet", subject: text(event.target), text: `command ${text(event.command)}, by ${text(event.origin)}` };
    case "ConfigReloaded":
      return {
        tone: "good", subject: "config",
        text: `applied: started ${names(event.started)}; stopped ${names(event.stopped)}; restarted ${names(event.restarted)}`,
      };
    case "ConfigRejected":
      return { tone: "bad", subject: "config", text: `rejected: ${text(event.error)}` };
    case "LogLevelChanged":
      return { tone: "quiet", subject: "logs", text: `level ${text(event.previous)} → ${text(event.level)}` };
    case "MarketStatus":
      return { tone: "quiet", subject, text: `${text(event.previous) || "unknown"} → ${text(event.status)}, says ${text(event.source)}` };
    case "MemoryPressure":
      return { tone: event.level === "normal" ? "good" : "bad", subject: "memory", text: `${text(event.level)}, ${bytes(Number(event.held_bytes))} held` };
    case "FeedHealthChanged": {
      const tone = event.state === "live" ? "good" : event.state === "down" ? "bad" : "warn";
      if (event.previous === event.state) return { tone, subject, text: `health ${text(event.state)}: severity ${text(event.severity)}${event.cause ? `, ${text(event.cause)}` : ""}` };
      return { tone, subject, text: `health ${text(event.previous)} → ${text(event.state)}${event.cause ? `: ${text(event.cause)}` : ""}` };
    }
    case "ArenaRanked":
      return { tone: "quiet", subject: "arena", text: names(event.ranking) };
    case "BestSwitched":
      return { tone: "quiet", subject, text: `best is now ${text(event.asset)}, was ${text(event.previous) || "none"}: ${text(event.reason)}` };
    default: {
      const { event: _kind, ...members } = event;
      return { tone: "quiet", subject, text: text(members) };
    }
  }
}
