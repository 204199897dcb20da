// JSON text taken apart without parsing what is not touched, so that numbers keep their digits and members their order.

export interface Member {
  name: string;
  /** The name as JSON text. */
  quoted: string;
  value: string;
}

/** The members of a JSON object. */
export function splitMembers(text: string): Member[] {
  const members: Member[] = [];
  let at = skipSpace(text, 1);
  while (text[at] === '"') {
    const nameEnd = endOfString(text, at);
    const valueStart = skipSpace(text, skipSpace(text, nameEnd) + 1);
    const valueEnd = endOfValue(text, valueStart);
    const quoted = text.slice(at, nameEnd);
    members.push({ name: JSON.parse(quoted) as string, quoted, value: text.slice(valueStart, valueEnd) });
    at = skipSpace(text, valueEnd);
    if (text[at] === ",") at = skipSpace(text, at + 1);
  }
  if (text[at] !== "}") throw new Error(`not JSON at ${at}`);
  return members;
}

/** The items of a JSON list. */
export function splitItems(text: string): string[] {
  const items: string[] = [];
  let at = skipSpace(text, 1);
  while (text[at] !== "]") {
    const end = endOfValue(text, at);
    if (end === at) throw new Error(`not JSON at ${at}`);
    items.push(text.slice(at, end));
    at = skipSpace(text, end);
    if (text[at] === ",") at = skipSpace(text, at + 1);
  }
  return items;
}

function skipSpace(text: string, from: number): number {
  let at = from;
  while (text[at] === " " || text[at] === "\n" || text[at] === "\t" || text[at] === "\r") at++;
  return at;
}

function endOfString(text: string, from: number): number {
  for (let at = from + 1; at < text.length; at++) {
    if (text[at] === "\\") at++;
    else if (text[at] === '"') return at + 1;
  }
  throw new Error(`a string that does not end, at ${from}`);
}

function endOfValue(text: string, from: number): number {
  let depth = 0;
  for (let at = from; at < text.length;) {
    const char = text[at]!;
    if (char === '"') {
      at = endOfString(text, at);
      if (depth === 0) return at;
      continue;
    }
    if (char === "{" || char === "[") depth++;
    else if (char === "}" || char === "]") {
      // The closing brace of the object around a bare number or word belongs to that object.
      if (depth === 0) return at;
      if (--depth === 0) return at + 1;
    } else if (depth === 0 && (char === "," || char === " " || char === "\n" || char === "\t" || char === "\r"))
      return at;
    at++;
  }
  throw new Error(`a value that does not end, at ${from}`);
}
