// What a page loads, in one file: the modules in order, without comments and indentation. Real minifiers get further.
import { readFileSync } from "node:fs";

export function bundle(entry, seen = new Set()) {
  if (seen.has(entry.href)) return "";
  seen.add(entry.href);
  const source = readFileSync(entry, "utf8");
  const imports = [...source.matchAll(/^(?:import|export) {[^}]*} from "(.*)";$/gm)];
  const before = imports.map(([, path]) => bundle(new URL(path, entry), seen)).join("");
  const own = source
    .replace(/^import .*\n/gm, "")
    .replace(/^export {([^}]*)} from ".*";$/gm, "export {$1};")
    .replace(/^export (?=const|class|function|async)/gm, "")
    .replace(/^\s*\/\*\*[^]*?\*\/\n/gm, "")
    .replace(/^\s*\/\/.*\n|(?<=[;,{)]) \/\/ .*$/gm, "")
    .replace(/^\s+/gm, "");
  return before + own;
}
