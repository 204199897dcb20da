// Normal form of a manifest's body: the three things done before an apply and nowhere else (DESIGN rule 5). `null`
// members and `status` are dropped, a Secret's `stringData` moves into `data`. On JSON text, so that nothing else of
// it changes: numbers keep their digits, members their order.
import { splitItems, splitMembers, type Member } from "./json-text.ts";

export function normalForm(kind: string, group: string, body: string): string {
  const secret = kind === "Secret" && group === "" && body.includes('"stringData"');
  if (!secret && !body.includes("null") && !body.includes('"status"')) return body;
  const members = splitMembers(`{${body}}`)
    .filter((member) => member.name !== "status" && member.value !== "null")
    .map((member) => ({ ...member, value: dropNulls(member.value) }));
  return (secret ? moveStringData(members) : members).map((member) => `${member.quoted}:${member.value}`).join(",");
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

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
