// Globs over names, kinds and URLs (pure), as gobwas/glob reads them: `*` is anything but separators, `**` anything, `?` one
// character that is no separator, `[a-z]` and `[!a-z]` one of a range, `[abc]` and `[!abc]` one of a list, `{a,b}` one of
// both, `\` takes the next character as it is. The render engine has the library itself; this one is for rules that are
// asked about every object, and is held against it by a test.
const compiled = new Map<string, RegExp | undefined>();
const COMPILED_MAX = 10_000;

const ENDS = /^([^*?[{}\\]*)(\*{1,2})([^*?[{}\\]*)$/;

/** A pattern that is not one matches nothing, as in Argo CD. Without separators `*` and `**` are the same. */
export function matchesGlob(pattern: string, value: string, separators = ""): boolean {
  if (pattern === "*" && separators === "") return true;
  if (!/[*?[{}\\]/.test(pattern)) return pattern === value;
  const ends = ENDS.exec(pattern);
  // The library lets both ends be the same piece of the value: `a*a` matches `a`.
  if (ends && (separators === "" || ends[2] === "**")) return value.startsWith(ends[1]!) && value.endsWith(ends[3]!);
  return expressionFor(pattern, separators)?.test(value) ?? false;
}

export const isGlob = (pattern: string): boolean => expressionFor(pattern, "") !== undefined;

function expressionFor(pattern: string, separators: string): RegExp | undefined {
  const id = `${separators} ${pattern}`;
  if (!compiled.has(id)) {
    if (compiled.size >= COMPILED_MAX) compiled.clear();
    compiled.set(id, expressionOf(pattern, separators));
  }
  return compiled.get(id);
}

function expressionOf(pattern: string, separators: string): RegExp | undefined {
  const one = separators === "" ? "." : `[^${separators.split("").map(quoted).join("")}]`;
  let text = "";
  let depth = 0;
  for (let at = 0; at < pattern.length; at++) {
    const char = pattern[at]!;
    if (char === "*") {
      const many = pattern[at + 1] === "*";
      if (many) at++;
      text += many ? ".*" : `${one}*`;
    } else if (char === "?") text += one;
    else if (char === "{") {
      depth++;
      text += "(?:";
    } else if (char === "}" && depth > 0) {
      depth--;
      text += ")";
    } else if (char === "," && depth > 0) text += "|";
    else if (char === "[") {
      const end = pattern.indexOf("]", at + 1);
      const list = /^(!?)(?:(.)-(.)|(?!.-)([^\]]+))$/s.exec(pattern.slice(at + 1, end));
      if (end < 0 || !list || list[0] === "!") return undefined;
      const [, not, low, high, chars] = list;
      const inside = chars === undefined ? `${quoted(low!)}-${quoted(high!)}` : chars.split("").map(quoted).join("");
      text += `[${not ? "^" : ""}${inside}]`;
      at = end;
    } else if (char === "\\") {
      at++;
      if (at >= pattern.length) return undefined;
      text += quoted(pattern[at]!);
    } else text += quoted(char);
  }
  if (depth > 0) return undefined;
  try {
    return new RegExp(`^(?:${text})$`, "s");
  } catch {
    return undefined;
  }
}

const quoted = (char: string): string => (/[\w\s]/.test(char) || char > "\u007f" ? char : `\\${char}`);
