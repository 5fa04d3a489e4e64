// Light, dark, or as the system has it. Charts are told, since they cannot see the style sheet.

export const THEMES = ["system", "light", "dark"] as const;
export type Theme = (typeof THEMES)[number];
const KEY = "finstream.noc.theme";

class Chosen {
  theme = $state<Theme>("system");
  /** Grows whenever the colours have changed. */
  changes = $state(0);

  /** Returns what ends it. */
  open(): () => void {
    const kept = localStorage.getItem(KEY);
    this.choose(THEMES.find((theme) => theme === kept) ?? "system");
    const system = matchMedia("(prefers-color-scheme: dark)");
    const changed = () => this.changes++;
    system.addEventListener("change", changed);
    return () => system.removeEventListener("change", changed);
  }

  choose(theme: Theme): void {
    this.theme = theme;
    localStorage.setItem(KEY, theme);
    document.documentElement.dataset.theme = theme;
    this.changes++;
  }

  next(): void {
    this.choose(THEMES[(THEMES.indexOf(this.theme) + 1) % THEMES.length]!);
  }
}

export const chosen = new Chosen();
