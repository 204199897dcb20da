// Reading an Application never throws, whatever somebody wrote into it.
import { expect, test } from "vitest";
import { Application, readLeniently } from "./application.ts";

const metadata = { name: "shop", namespace: "argocd", uid: "u1", resourceVersion: "7" };

test("a wrong field is left out and named by its path, the rest is read", () => {
  const read = readLeniently(Application, {
    metadata,
    spec: { project: "default", source: { repoURL: "https://h/r", directory: { recurse: "yes" } } },
  });
  if (read.kind !== "ok") throw new Error("unreadable");
  expect(read.problems.map((problem) => problem.path)).toEqual(["spec.source.directory.recurse"]);
  expect(read.value.spec?.source?.repoURL).toBe("https://h/r");
});

test("a wrong item takes its list along, several wrong fields are all named", () => {
  const read = readLeniently(Application, {
    metadata,
    spec: { project: 3, syncPolicy: { syncOptions: ["CreateNamespace=true", 7] } },
    status: { resources: [{ kind: "Service" }, null] },
  });
  if (read.kind !== "ok") throw new Error("unreadable");
  expect(read.problems.map((problem) => problem.path).toSorted()).toEqual([
    "spec.project",
    "spec.syncPolicy.syncOptions[1]",
    "status.resources[1]",
  ]);
  expect(read.value.spec?.syncPolicy).toEqual({});
});

test.each([[null], ["text"], [{}], [{ metadata: { name: 7 } }]])("%j is unreadable and does not throw", (raw) => {
  expect(readLeniently(Application, raw).kind).toBe("unreadable");
});

test("unknown members are kept, so that what is not supported can be named", () => {
  const read = readLeniently(Application, { metadata, spec: { novelty: { a: 1 } } });
  expect(read.kind === "ok" && read.value.spec?.["novelty"]).toEqual({ a: 1 });
});
