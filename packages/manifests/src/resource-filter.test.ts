import { expect, test } from "vitest";
import { isExcluded } from "./resource-filter.ts";

const rule = (over: { apiGroups?: string[]; kinds?: string[]; clusters?: string[] }) => ({
  apiGroups: [],
  kinds: [],
  clusters: [],
  ...over,
});
const SERVER = "https://kubernetes.default.svc";
const excluded = (group: string, kind: string, filter?: Parameters<typeof isExcluded>[2], server = SERVER) =>
  isExcluded({ group, kind }, server, filter);

test("what only a cluster's machinery writes is left alone always", () => {
  expect(excluded("", "Event")).toBe(true);
  expect(excluded("events.k8s.io", "Event")).toBe(true);
  expect(excluded("metrics.k8s.io", "PodMetrics")).toBe(true);
  expect(excluded("coordination.k8s.io", "Lease")).toBe(true);
  expect(excluded("", "Endpoints")).toBe(false);
  expect(excluded("example.com", "Event")).toBe(false);
  expect(excluded("coordination.k8s.io", "Lease", { exclusions: [], inclusions: [rule({ kinds: ["*"] })] })).toBe(true);
});

test("groups and clusters are globs, a kind is a name or *, an empty list is every one", () => {
  const exclusions = [
    rule({ apiGroups: ["*.cilium.io"], kinds: ["CiliumIdentity"] }),
    rule({ apiGroups: ["kyverno.io"], kinds: ["*"], clusters: ["https://*.example.com"] }),
    rule({ kinds: ["Secret"] }),
    rule({ kinds: ["Config*"] }),
  ];
  const filter = { exclusions, inclusions: [] };
  expect(excluded("sub.cilium.io", "CiliumIdentity", filter)).toBe(true);
  expect(excluded("sub.cilium.io", "CiliumNetworkPolicy", filter)).toBe(false);
  expect(excluded("kyverno.io", "PolicyReport", filter)).toBe(false);
  expect(excluded("kyverno.io", "PolicyReport", filter, "https://one.example.com")).toBe(true);
  expect(excluded("", "Secret", filter)).toBe(true);
  expect(excluded("", "ConfigMap", filter)).toBe(false);
});

test("with inclusions only these count, and an exclusion counts before them", () => {
  const filter = {
    inclusions: [rule({ apiGroups: [""] }), rule({ apiGroups: ["apps"], kinds: ["Deployment"] })],
    exclusions: [rule({ kinds: ["Secret"] })],
  };
  expect(excluded("", "ConfigMap", filter)).toBe(false);
  expect(excluded("apps", "Deployment", filter)).toBe(false);
  expect(excluded("apps", "StatefulSet", filter)).toBe(true);
  expect(excluded("", "Secret", filter)).toBe(true);
});
