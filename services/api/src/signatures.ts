// Whether a request comes from who it says: secrets and signatures, compared in constant time. Pure.
import { createHash, createHmac, timingSafeEqual } from "node:crypto";

/** Header names in lower case, as node:http has them. */
export type Headers = Record<string, string | string[] | undefined>;

export function first(headers: Headers, names: readonly string[]): string | undefined {
  for (const name of names) {
    const value = headers[name];
    if (value !== undefined) return Array.isArray(value) ? value[0] : value;
  }
  return undefined;
}

export const afterPrefix = (prefix: string, text: string | undefined): string | undefined =>
  text?.startsWith(prefix) ? text.slice(prefix.length) : undefined;

export function hmacEquals(hex: string | undefined, body: Uint8Array, secret: string): boolean {
  if (hex === undefined || !/^[0-9a-fA-F]{64}$/.test(hex)) return false;
  return timingSafeEqual(Buffer.from(hex, "hex"), createHmac("sha256", secret).update(body).digest());
}

/** By digests, because timingSafeEqual wants equal lengths and the length is nobody's business. */
export function textEquals(given: string | undefined, secret: string): boolean {
  const digest = (text: string) => createHash("sha256").update(text).digest();
  return given !== undefined && timingSafeEqual(digest(given), digest(secret));
}

/** `secret` is `user:password`. */
export function basicEquals(authorization: string | undefined, secret: string): boolean {
  const encoded = /^basic +([A-Za-z0-9+/=]+)$/i.exec(authorization ?? "")?.[1];
  return encoded !== undefined && textEquals(Buffer.from(encoded, "base64").toString("utf8"), secret);
}
