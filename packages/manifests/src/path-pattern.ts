// Patterns as Go's path.Match reads them (pure): `*` and `?` stop at `/`, `[a-z]` and `[^a-z]` are classes, `\` takes the
// next character as it is; there are no alternatives. Argo CD matches kinds, groups and names of objects by them.
const compiled = new Map<string, RegExp | undefined>();
const COMPILED_MAX = 10_000;

/** A pattern that is not one matches nothing, as in Go. */
export function matchesPathPattern(pattern: string, value: string): boolean {
  if (pattern === "*") return !value.includes("/");
  if (!/[*?[\\]/.test(pattern)) return pattern === value;
  return expressionFor(pattern)?.test(value) ?? false;
}

export const isPathPattern = (pattern: string): boolean => expressionFor(pattern) !== undefined;

function expressionFor(pattern: string): RegExp | undefined {
  if (!compiled.has(pattern)) {
    if (compiled.size >= COMPILED_MAX) compiled.clear();
    compiled.set(pattern, expressionOf(pattern));
  }
  return compiled.get(pattern);
}

/** One character or range of a class; `-` and `]` stand for themselves only behind a `\`. */
const CLASS_ITEM = /^(?:\\(.)|([^\\\]-]))(?:-(?:\\(.)|([^\\\]-])))?/s;

function expressionOf(pattern: string): RegExp | undefined {
  let text = "";
  for (let rest = pattern; rest !== "";) {
    const char = rest[0]!;
    if (char === "[") {
      const found = classOf(rest.slice(1));
      if (!found) return undefined;
      text += found.text;
      rest = found.rest;
      continue;
    }
    if (char === "\\" && rest.length === 1) return undefined;
    text += char === "*" ? "[^/]*" : char === "?" ? "[^/]" : quoted(char === "\\" ? rest[1]! : char);
    rest = rest.slice(char === "\\" ? 2 : 1);
  }
  return new RegExp(`^${text}$`, "s");
}

function classOf(after: string): { text: string; rest: string } | undefined {
  const not = after.startsWith("^");
  let rest = not ? after.slice(1) : after;
  let items = "";
  // A reversed range is no error in Go: nothing is in it.
  let isFirst = true;
  while (isFirst || !rest.startsWith("]")) {
    const item = CLASS_ITEM.exec(rest);
    if (!item) return undefined;
    const low = item[1] ?? item[2]!;
    const high = item[3] ?? item[4] ?? low;
    if (low <= high) items += `${quoted(low)}-${quoted(high)}`;
    rest = rest.slice(item[0].length);
    isFirst = false;
  }
  return { text: items === "" ? (not ? "[^]" : "[]") : `[${not ? "^" : ""}${items}]`, rest: rest.slice(1) };
}

const quoted = (char: string): string => (/[\w\s]/.test(char) || char > "\u007f" ? char : `\\${char}`);
