import { expect, test } from "vitest";
import { knownOnly } from "./known-fields.ts";
import type { KubeObject } from "./resource.ts";

const answer = { spec: { size: 3, list: [{ name: "mesh" }, { name: "a", port: 1 }] } } as unknown as KubeObject;

test("members that the answer lacks are left out, in list items by their names; numbers keep their digits", () => {
  const text =
    '{"metadata":{},"spec":{"size":9223372036854775807,"nope":{"a":1},"list":[{"name":"a","port":1,"x":2}]}}';
  expect(knownOnly(text, { ...answer, metadata: {} } as KubeObject, { keepEmpty: true })).toBe(
    '{"metadata":{},"spec":{"size":9223372036854775807,"list":[{"name":"a","port":1}]}}',
  );
});

test("an empty member may only be left out of the answer, so it goes in a second try", () => {
  const text = '{"spec":{"size":3,"paused":false,"nope":{}}}';
  expect(knownOnly(text, answer, { keepEmpty: true })).toBe(text);
  expect(knownOnly(text, answer, { keepEmpty: false })).toBe('{"spec":{"size":3}}');
});
