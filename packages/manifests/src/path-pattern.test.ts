// Answers of Go's path.Match, asked once and written down.
import { expect, test } from "vitest";
import { isPathPattern, matchesPathPattern } from "./path-pattern.ts";

test.each([
  ["*", "", true],
  ["*", "apps", true],
  ["*", "a/b", false],
  ["", "", true],
  ["", "apps", false],
  ["Deployment", "Deployment", true],
  ["Deployment", "deployment", false],
  ["*.k8s.io", "networking.k8s.io", true],
  ["*.k8s.io", "k8s.io", false],
  ["Cluster*", "ClusterRoleBinding", true],
  ["?ob", "Job", true],
  ["[A-C]ron*", "CronJob", true],
  ["[^A-C]*", "CronJob", false],
  ["[!A-C]*", "CronJob", true],
  ["{Job,CronJob}", "Job", false],
  ["{Job,CronJob}", "{Job,CronJob}", true],
  ["\\*", "*", true],
  ["\\*", "x", false],
  ["a**b", "axxb", true],
  ["[b-a]", "a", false],
  ["[a", "a", false],
  ["[]a]", "a", false],
  ["[-a]", "a", false],
  ["x\\", "x", false],
])("%s and %s: %s", (pattern, value, matches) => {
  expect(matchesPathPattern(pattern, value)).toBe(matches);
});

test.each(["[", "[a", "[]a]", "[-a]", "x\\"])("%s is no pattern", (pattern) => {
  expect(isPathPattern(pattern)).toBe(false);
});
