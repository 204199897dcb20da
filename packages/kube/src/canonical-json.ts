// Canonical JSON (pure): the same value gives the same text, whatever the order of its members.

export function canonicalJson(value: unknown): string {
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "null";
  if (Array.isArray(value)) {
    let text = "[";
    for (let index = 0; index < value.length; index++) text += (index === 0 ? "" : ",") + canonicalJson(value[index]);
    return `${text}]`;
  }
  const record = value as Record<string, unknown>;
  const names = Object.keys(record);
  if (names.length > 1) names.sort();
  let text = "{";
  for (let index = 0; index < names.length; index++) {
    const name = names[index]!;
    text += `${index === 0 ? "" : ","}${JSON.stringify(name)}:${canonicalJson(record[name])}`;
  }
  return `${text}}`;
}
