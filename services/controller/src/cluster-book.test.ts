import { expect, test } from "vitest";
import { createClusterBook, stillHolds } from "./cluster-book.ts";

const app = { uid: "u", namespace: "argocd", name: "a", project: "default" };
const destination = { server: "https://s", namespace: "n" };
const cluster = { server: "https://s", kubeVersion: "v1.36.3", apiVersionsDigest: "d" };
const command = (requestId: string, more: object = {}) => ({
  app,
  requestId,
  shard: 1,
  lane: "now" as const,
  deadlineAt: 1_000,
  destination,
  ...more,
});

function book() {
  const published: string[] = [];
  const told: [string, string][] = [];
  const one = createClusterBook({
    now: () => 0,
    publish: ({ requestId }) => void published.push(requestId),
    answer: (uid, { requestId, cluster: found }) => void told.push([uid, found ? requestId : "failed"]),
  });
  return { ...one, published, told };
}
const answer = (more: object) => ({ app, requestId: "1", shard: 1, tookMs: 1, destination, ...more });

test("of many that ask at once one question goes out, all are answered, and who asks later at once", () => {
  const one = book();
  for (const n of [1, 2, 3]) one.ask(`u${n}`, command(String(n)));
  expect(one.published).toEqual(["1"]);
  one.answered(answer({ cluster }));
  one.ask("u4", command("4"));
  expect(one.published).toEqual(["1"]);
  expect(one.told.map(([uid]) => uid)).toEqual(["u1", "u2", "u3", "u4"]);
  expect(one.told[2]).toEqual(["u3", "3"]);
});

test("a failure is everybody's and not remembered; what is stored no more is asked for again", () => {
  const one = book();
  one.ask("u1", command("1"));
  one.answered(answer({ failure: { code: "CLUSTER_UNREACHABLE", message: "away" } }));
  expect(one.told).toEqual([["u1", "failed"]]);
  one.ask("u1", command("2"));
  one.answered(answer({ cluster }));
  one.ask("u1", command("3", { gone: true }));
  expect(one.published).toEqual(["1", "2", "3"]);
});

test("a differ that began anew is asked again for what was known, so that it tells of changes", () => {
  const one = book();
  one.askAgain();
  expect(one.published).toEqual([]);
  one.ask("u1", command("1"));
  one.answered(answer({ cluster }));
  one.askAgain("https://other");
  one.askAgain();
  expect(one.published).toEqual(["1", "1-again"]);
  expect(one.changed(cluster)).toBe(false);
  expect(one.changed({ ...cluster, apiVersionsDigest: "e" })).toBe(true);
});

test.each<[string, object, object, boolean]>([
  ["the version that it used", { variables: ["KUBE_VERSION"] }, { kubeVersion: "v1.37.0" }, false],
  ["the version, which it did not use", { variables: ["KUBE_API_VERSIONS"] }, { kubeVersion: "v1.37.0" }, true],
  ["all API versions", { variables: ["KUBE_API_VERSIONS"] }, { apiVersionsDigest: "e" }, false],
  [
    "API versions of which it asked none",
    { variables: ["KUBE_API_VERSIONS"], apiVersions: { "x/v1": true, "y/v1": false } },
    { apiVersionsDigest: "e" },
    true,
  ],
  [
    "an answer to what it asked",
    { variables: ["KUBE_API_VERSIONS"], apiVersions: { "y/v1": true } },
    { apiVersionsDigest: "e" },
    false,
  ],
  ["another cluster", { variables: ["KUBE_API_VERSIONS"] }, { server: "https://other", apiVersionsDigest: "e" }, true],
])("a change of %s", (_title, render, change, holds) => {
  const rendered = { variables: [], cluster, ...render };
  expect(stillHolds(rendered, { ...cluster, ...change }, (name) => name === "x/v1")).toBe(holds);
});
