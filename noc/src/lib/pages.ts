export const PAGES = [
  { href: "#/", name: "Overview" },
  { href: "#/assets", name: "Assets" },
  { href: "#/arena", name: "Arena" },
  { href: "#/clients", name: "Clients" },
  { href: "#/symbols", name: "Symbols" },
  { href: "#/logs", name: "Logs" },
  { href: "#/control", name: "Control" },
] as const;
