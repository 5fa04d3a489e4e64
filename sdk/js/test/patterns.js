// The patterns of sdk/conformance.
import { isDeepStrictEqual } from "node:util";

const TESTS = {
  $gt: (value, bound) => typeof value === "number" && value > bound,
  $at_most: (value, bound) => typeof value === "number" && value <= bound,
  $not: (value, pattern) => !matches(value, pattern),
  $in: (value, patterns) => patterns.some((pattern) => matches(value, pattern)),
  $has: (value, part) => Array.isArray(value) && value.includes(part),
  $length: (value, length) => value?.length === length,
  $any: (value, there) => (value ?? null) !== null === there,
};

export function matches(value, pattern) {
  if (typeof pattern !== "object" || pattern === null || Array.isArray(pattern)) return isDeepStrictEqual(value, pattern);
  const names = Object.keys(pattern);
  if (names.length === 1 && names[0].startsWith("$")) {
    const test = TESTS[names[0]];
    if (!test) throw new Error(`there is no test ${names[0]}`);
    return test(value, pattern[names[0]]);
  }
  return typeof value === "object" && value !== null && names.every((name) => matches(value[name], pattern[name]));
}
