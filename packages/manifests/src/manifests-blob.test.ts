import { expect, test } from "vitest";
import { decodeManifests, encodeManifests } from "./manifests-blob.ts";
import type { Manifest } from "./manifest.ts";

const manifest = (metadata: Record<string, unknown>): Manifest => ({
  apiVersion: "apps/v1",
  kind: "Deployment",
  metadata,
  body: '"spec":{"n":12345678901234567890}',
  images: ["nginx:1"],
  file: "a/ü.yaml",
  line: 70000,
  warnings: ["folded"],
});

test("a set survives the way there and back, and gives the same bytes whatever the order of metadata's members", () => {
  const set = [manifest({ name: "a", labels: { x: "1", y: "2" } }), manifest({ name: "b" })];
  const bytes = encodeManifests(set);
  expect(decodeManifests(bytes)).toEqual({ kind: "ok", manifests: set });
  const same = [manifest({ labels: { y: "2", x: "1" }, name: "a" }), manifest({ name: "b" })];
  expect(encodeManifests(same)).toEqual(bytes);
  expect(encodeManifests(set.toReversed())).not.toEqual(bytes);
  expect(decodeManifests(encodeManifests([]))).toEqual({ kind: "ok", manifests: [] });
});

test("damaged, foreign and cut bytes are errors, never an empty or a shorter set", () => {
  const bytes = encodeManifests([manifest({ name: "a" }), manifest({ name: "b" })]);
  for (let length = 0; length < bytes.length; length++) {
    expect(decodeManifests(bytes.slice(0, length)).kind).toBe("error");
  }
  expect(decodeManifests(new TextEncoder().encode('[{"kind":"List"}]')).kind).toBe("error");
});
