// Figures and times as people read them.

const compact = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });
const plain = new Intl.NumberFormat("en");
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });

export const NONE = "–";

export const count = (value: number): string => plain.format(value);
export const rate = (value: number): string => (value >= 100 || value === 0 ? compact.format(Math.round(value)) : value.toFixed(1));
export const percent = (value: number | undefined): string => (value === undefined ? NONE : `${(value * 100).toFixed(1)} %`);

export function bytes(value: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (Math.abs(value) >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

/** From microseconds. */
export function span(us: number | null | undefined): string {
  if (us === undefined || us === null) return NONE;
  const size = Math.abs(us);
  if (size < 1_000) return `${Math.round(us)} µs`;
  if (size < 1_000_000) return `${(us / 1_000).toFixed(size < 10_000 ? 1 : 0)} ms`;
  if (size < 60_000_000) return `${(us / 1_000_000).toFixed(1)} s`;
  return long(us / 1_000_000);
}

/** From seconds. */
export function long(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} min ${whole % 60} s`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** From microseconds since the epoch. */
export const time = (us: number): string => clock.format(us / 1000);

/** With what has no shape of its own, or turns the text around it, as `\\u{202e}`. */
export const visible = (text: string): string =>
  text.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, (sign) => `\\u{${sign.codePointAt(0)!.toString(16)}}`);

/** `urn:finstream:problem:wrong-state` is `wrong-state`. */
export const problem = (urn: string): string => urn.slice(urn.lastIndexOf(":") + 1);
