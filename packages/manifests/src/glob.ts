// Globs over names of kinds and groups (pure), as gobwas/glob reads them without separators: `*` and `**` are anything,
// `?` one character, `[a-z]` and `[!a-z]` one of a range, `[abc]` and `[!abc]` one of a list, `{a,b}` one of both, `\` takes
// the next character as it is. The render engine has the library itself; this one is for rules that are asked about
// every object, and is held against it by a test.
const compiled = new Map<string, RegExp | undefined>();
const COMPILED_MAX = 1_000;

/** A pattern that is not one matches nothing, as in Argo CD. */
export function matchesGlob(pattern: string, value: string): boolean {
  if (pattern === value || pattern === "*") return true;
  if (!/[*?[{\\]/.test(pattern)) return false;
  if (!compiled.has(pattern)) {
    if (compiled.size >= COMPILED_MAX) compiled.clear();
    compiled.set(pattern, expressionOf(pattern));
  }
  return compiled.get(pattern)?.test(value) ?? false;
}

function expressionOf(pattern: string): RegExp | undefined {
  let text = "";
  let depth = 0;
  for (let at = 0; at < pattern.length; at++) {
    const char = pattern[at]!;
    if (char === "*") text += ".*";
    else if (char === "?") text += ".";
    else if (char === "{") {
      depth++;
      text += "(?:";
    } else if (char === "}" && depth > 0) {
      depth--;
      text += ")";
    } else if (char === "," && depth > 0) text += "|";
    else if (char === "[") {
      const end = pattern.indexOf("]", at + 1);
      const list = /^(!?)(?:(.)-(.)|([^\]]+))$/s.exec(pattern.slice(at + 1, end));
      if (end < 0 || !list) return undefined;
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
