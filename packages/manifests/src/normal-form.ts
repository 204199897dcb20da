// Normal form of a manifest's body: the three things done before an apply and nowhere else (DESIGN rule 5). `null`
// members and `status` are dropped, a Secret's `stringData` moves into `data`. On JSON text, so that nothing else of
// it changes: numbers keep their digits, members their order.

export function normalForm(kind: string, group: string, body: string): string {
  const secret = kind === "Secret" && group === "" && body.includes('"stringData"');
  if (!secret && !body.includes("null") && !body.includes('"status"')) return body;
  const members = splitMembers(`{${body}}`)
    .filter((member) => member.name !== "status" && member.value !== "null")
    .map((member) => ({ ...member, value: dropNulls(member.value) }));
  return (secret ? moveStringData(members) : members).map((member) => `${member.quoted}:${member.value}`).join(",");
}

interface Member {
  name: string;
  /** The name as JSON text. */
  quoted: string;
  value: string;
}

function moveStringData(members: Member[]): Member[] {
  const find = (name: string) => members.find((member) => member.name === name);
  const plain = JSON.parse(find("stringData")?.value ?? "null") as unknown;
  const data = JSON.parse(find("data")?.value ?? "{}") as unknown;
  // Values that are no strings stay where they are: the API server names them in its refusal.
  if (!isRecord(plain) || !isRecord(data) || Object.values(plain).some((value) => typeof value !== "string"))
    return members;
  const merged = { ...data };
  for (const [name, value] of Object.entries(plain)) merged[name] = Buffer.from(value as string).toString("base64");
  const rest = members.filter((member) => member.name !== "stringData" && member.name !== "data");
  return [...rest, { name: "data", quoted: '"data"', value: JSON.stringify(merged) }];
}

function dropNulls(value: string): string {
  if (!value.includes("null")) return value;
  if (value.startsWith("{")) {
    const kept = splitMembers(value).filter((member) => member.value !== "null");
    return `{${kept.map((member) => `${member.quoted}:${dropNulls(member.value)}`).join(",")}}`;
  }
  // A null in a list is an element, not an absent member.
  if (value.startsWith("[")) return `[${splitItems(value).map(dropNulls).join(",")}]`;
  return value;
}

function splitMembers(text: string): Member[] {
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

function splitItems(text: string): string[] {
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

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
