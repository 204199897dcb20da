// What is said, held against where it is kept: a message without a stream would be lost, and a work queue refuses
// consumers that overlap.
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { MESSAGES } from "./catalogue.ts";
import { DURABLES, STREAMS, type StreamDefinition } from "./streams.ts";
import { decodeToken, encodeToken, SHARD_COUNT, shardOf } from "./subject.ts";

const app = { uid: "u", namespace: "argocd", name: "guest.book", project: "default" };
const key = { group: "", version: "v1", kind: "ConfigMap", namespace: "n", name: "c" };
const sample: Record<string, unknown> = {
  app,
  requestId: "r",
  shard: 3,
  lane: "bulk",
  deadlineAt: 1,
  tookMs: 1,
  source: { repoURL: "https://h/r", repository: "abc", targetRevision: "main", path: "p" },
  namespace: "argocd",
  name: "guest.book",
  repository: "abc",
  to: "OutOfSync",
  object: key,
  outcome: "woken",
  asked: { namespace: "argocd", name: "guest.book", requestId: "r", resource: { kind: "Deployment" } },
};

const matches = (filter: string, subject: string): boolean => {
  const [wanted, tokens] = [filter.split("."), subject.split(".")];
  return (
    wanted.every((token, n) => token === ">" || (tokens[n] !== undefined && (token === "*" || token === tokens[n]))) &&
    (wanted.at(-1) === ">" ? tokens.length >= wanted.length : tokens.length === wanted.length)
  );
};
const streams: StreamDefinition[] = Object.values(STREAMS);

describe.each([...MESSAGES.values()].map((definition) => [definition.name, definition] as const))(
  "%s",
  (name, definition) => {
    test("goes to exactly one stream", () => {
      const subject = definition.subject(sample as never);
      expect(
        streams.filter((stream) => stream.subjects.some((filter) => matches(filter, subject))).map((s) => s.name),
      ).toHaveLength(1);
    });

    test("has a JSON Schema, for people who write it in another language", () => {
      expect(z.toJSONSchema(definition.schema, { io: "input", unrepresentable: "any" })).toHaveProperty(
        "type",
        "object",
      );
    });

    test("is named as its kind is", () => {
      const pastTense = /(ed|Reset|Forgotten|Files)$/.test(name) || name.endsWith("Failed");
      expect(definition.kind === "command" ? !pastTense : pastTense, name).toBe(true);
    });
  },
);

test("no two durables of a work queue could get the same message", () => {
  const filters = DURABLES.flatMap((durable) =>
    durable.filters.map((filter) => [`${durable.stream} ${filter}`, durable.name] as const),
  );
  expect(new Set(filters.map(([filter]) => filter)).size).toBe(filters.length);
});

test("a dot in a name is one token of the subject and can be read back", () => {
  expect(encodeToken("guest.book")).toBe("guest_book");
  expect(decodeToken("guest_book")).toBe("guest.book");
});

test("shards are spread over their whole range", () => {
  const shards = Array.from({ length: 2_000 }, (_, n) => shardOf("argocd", `app-${n}`));
  expect(new Set(shards).size).toBe(SHARD_COUNT);
});
