// Who tells a symbol, best first, as the engine's REST interface has it: telemetry has no figures by symbol.

import type { Place } from "./protocol";

const EVERY_MS = 1_000;

/** Asks again and again until what is returned is called. `places` is undefined where there was no answer, and `failure` says why. */
export function lookForPlaces(publicUrl: string, symbol: string, hear: (places: Place[] | undefined, failure: string) => void): () => void {
  const ended = new AbortController();
  async function look(): Promise<void> {
    try {
      const answer = await fetch(`${publicUrl}/v1/arena?symbol=${encodeURIComponent(symbol)}`, { signal: ended.signal });
      const told = (await answer.json()) as { arena?: Place[]; detail?: string };
      hear(told.arena, told.arena ? "" : (told.detail ?? `status ${answer.status}`));
    } catch {
      if (!ended.signal.aborted) hear(undefined, "the engine's public address does not answer");
    }
  }
  void look();
  const beat = setInterval(() => void look(), EVERY_MS);
  return () => {
    ended.abort();
    clearInterval(beat);
  };
}
