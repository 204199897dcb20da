// Host keys as OpenSSH keeps them in known_hosts (pure): which keys a server may show.
//
// Plain and hashed names, patterns with * ? and !, [host]:port, @revoked. Certificate authorities are passed over: a
// server that shows a certificate needs a line with its key.
import { createHmac, timingSafeEqual } from "node:crypto";

export type KnownHost = { type: string; key: Buffer };

export type HostKeyCheck =
  | { kind: "known" }
  /** No line names this host. */
  | { kind: "unknown" }
  /** Lines name it, with other keys. */
  | { kind: "changed" }
  | { kind: "revoked" };

type Line = { marker: string | undefined; hosts: string; type: string; key: Buffer };

function linesOf(text: string): Line[] {
  const lines: Line[] = [];
  for (const raw of text.split("\n")) {
    const fields = raw.trim().split(/\s+/);
    if (fields[0] === "" || fields[0]!.startsWith("#")) continue;
    const marker = fields[0]!.startsWith("@") ? fields.shift() : undefined;
    const [hosts, type, key] = fields;
    if (hosts === undefined || type === undefined || key === undefined) continue;
    lines.push({ marker, hosts, type, key: Buffer.from(key, "base64") });
  }
  return lines;
}

/** The keys that known_hosts gives for a host, so that these kinds are asked for. */
export function knownKeys(text: string, host: string, port: number): KnownHost[] {
  return linesOf(text)
    .filter((line) => line.marker === undefined && names(line.hosts, host, port))
    .map(({ type, key }) => ({ type, key }));
}

export function checkHostKey(text: string, host: string, port: number, shown: Buffer): HostKeyCheck {
  const mine = linesOf(text).filter((line) => names(line.hosts, host, port));
  if (mine.some((line) => line.marker === "@revoked" && line.key.equals(shown))) return { kind: "revoked" };
  const plain = mine.filter((line) => line.marker === undefined);
  if (plain.length === 0) return { kind: "unknown" };
  return { kind: plain.some((line) => line.key.equals(shown)) ? "known" : "changed" };
}

function names(hosts: string, host: string, port: number): boolean {
  const wanted = (port === 22 ? host : `[${host}]:${port}`).toLowerCase();
  if (hosts.startsWith("|1|")) {
    const [, , salt, hash] = hosts.split("|");
    const expected = Buffer.from(hash ?? "", "base64");
    const actual = createHmac("sha1", Buffer.from(salt ?? "", "base64"))
      .update(wanted)
      .digest();
    return expected.byteLength === actual.byteLength && timingSafeEqual(expected, actual);
  }
  let found = false;
  for (const pattern of hosts.toLowerCase().split(",")) {
    if (pattern.startsWith("!")) {
      if (matches(pattern.slice(1), wanted)) return false;
    } else found ||= matches(pattern, wanted);
  }
  return found;
}

/** `*` and `?` only; two indices instead of a regular expression, which a long pattern could keep busy. */
function matches(pattern: string, text: string): boolean {
  let p = 0;
  let star = -1;
  let from = 0;
  for (let t = 0; t < text.length;) {
    if (p < pattern.length && pattern[p] === "*") {
      star = p++;
      from = t;
    } else if (p < pattern.length && (pattern[p] === "?" || pattern[p] === text[t])) {
      p += 1;
      t += 1;
    } else if (star >= 0) {
      p = star + 1;
      t = from += 1;
    } else return false;
  }
  while (pattern[p] === "*") p += 1;
  return p === pattern.length;
}

/** The kind of a key in SSH's wire form. */
export function keyType(key: Buffer): string {
  if (key.byteLength < 4) return "";
  const size = key.readUInt32BE(0);
  return size > 64 || size + 4 > key.byteLength ? "" : key.toString("latin1", 4, 4 + size);
}
