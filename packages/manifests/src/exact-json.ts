// Exact JSON (pure): text to values and back without a digit lost. What has to be changed in the middle of a manifest is
// changed so; everything else of it stays text.

interface Source {
  source?: string;
}

type Reviver = (this: unknown, name: string, value: unknown, context: Source) => unknown;

// In the language since ES2026 and in Node 24, but not in the compiler's library yet.
const json = JSON as unknown as {
  parse(text: string, reviver: Reviver): unknown;
  rawJSON(text: string): unknown;
};

/** A number that JavaScript would write otherwise stays as it is written. */
export function parseExactly(text: string): unknown {
  return json.parse(text, (_name, value, { source }) =>
    typeof value === "number" && source !== undefined && JSON.stringify(value) !== source
      ? json.rawJSON(source)
      : value,
  );
}

export const exactText = (value: unknown): string => JSON.stringify(value);
