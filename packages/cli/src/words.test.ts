// What people type and read: names, durations, ages, bars, and flags that npm has swallowed.
import { afterEach, expect, test } from "vitest";
import { appName } from "./applications.ts";
import { CliError } from "./cli-error.ts";
import { refuseMisread } from "./commands/start-options.ts";
import { age, durationMs, shortRevision } from "./output.ts";
import { progressText } from "./progress.ts";
import { filterOf } from "./transitions.ts";

afterEach(() => {
  delete process.env["npm_config_kubeconfig"];
  delete process.env["DRIFTLESS_OBSERVE"];
});

const refusal = (act: () => unknown): CliError => {
  try {
    act();
  } catch (error) {
    if (error instanceof CliError) return error;
    throw error;
  }
  throw new Error("was not refused");
};

test("an Application is named alone or with its namespace, and anything that could be a path is refused", () => {
  expect(appName("guestbook", "argocd")).toEqual({ namespace: "argocd", name: "guestbook" });
  expect(appName("team-a/web.v2", "argocd")).toEqual({ namespace: "team-a", name: "web.v2" });
  for (const text of ["", "a/b/c", "../secrets", "A", "a b", "*", "a/", "/a", "%2e"]) {
    expect(refusal(() => appName(text, "argocd")).exitCode).toBe(2);
  }
});

test("the transitions of one Application are one filter, dots of its name encoded", () => {
  expect(filterOf(undefined)).toBe("driftless.v1.app.>");
  expect(filterOf({ namespace: "argocd", name: "a.b" })).toBe("driftless.v1.app.*.argocd.a_b.*");
  expect(filterOf({ namespace: "argocd", name: "web" }, "outofsync")).toBe("driftless.v1.app.*.argocd.web.outofsync");
});

test("flags that npm kept for itself are noticed, with and without a word left over", () => {
  expect(refusal(() => refuseMisread(["x.yaml"], {}, "npm start --")).message).toContain("npm start -- --kubeconfig X");
  process.env["npm_config_kubeconfig"] = "x.yaml";
  expect(refusal(() => refuseMisread([], {}, "npm start --")).exitCode).toBe(2);
  expect(() => refuseMisread([], { kubeconfig: "x.yaml" }, "npm start --")).not.toThrow();
});

test("--observe, by flag or variable, wants a cluster of the user's own", () => {
  expect(refusal(() => refuseMisread([], { observe: true }, "npm start --")).message).toContain("--kubeconfig FILE");
  process.env["DRIFTLESS_OBSERVE"] = "true";
  expect(refusal(() => refuseMisread([], {}, "npm start --")).exitCode).toBe(2);
  expect(() => refuseMisread([], { kubeconfig: "x.yaml" }, "npm start --")).not.toThrow();
});

test("durations are seconds unless they say otherwise", () => {
  expect([durationMs("90"), durationMs("1.5m"), durationMs("2h"), durationMs("250ms")]).toEqual([
    90_000, 90_000, 7_200_000, 250,
  ]);
  for (const text of ["", "soon", "-1", "5 parsecs"]) expect(() => durationMs(text)).toThrow(/duration/);
});

test("ages are as coarse as kubectl's", () => {
  const now = Date.parse("2026-11-24T12:00:00Z");
  const before = (ms: number) => age(new Date(now - ms).toISOString(), now);
  expect([before(5_000), before(300_000), before(3 * 3_600_000), before(72 * 3_600_000)]).toEqual([
    "5s",
    "5m",
    "3h",
    "3d",
  ]);
  expect(age(undefined, now)).toBe("");
});

test("a bar shows how far it is, and no bar where nobody knows", () => {
  expect(progressText("building", 50, 100)).toBe(`building  ${"█".repeat(12)}${"░".repeat(12)} 50 % (50/100)`);
  expect(progressText("building", 0, 0)).toBe("building …");
  expect(shortRevision("a".repeat(40))).toBe("aaaaaaa");
  expect(shortRevision("v1.2.3")).toBe("v1.2.3");
});
