// Admission and shards.
import { expect, test } from "vitest";
import { createAdmission } from "./admission.ts";
import { settingsOf } from "./settings.ts";
import { liveChangedFilters, ownedShards, resultFilters, triggerDurables } from "./shards.ts";

test("no more than so many are at work, the rest come in turn, and what an active one gets is never held back", () => {
  const ran: string[] = [];
  const admission = createAdmission<string>(2, (id, item) => {
    ran.push(`${id}${item}`);
    admission.busy(id, true);
  });
  for (const id of ["a", "b", "c", "d"]) admission.admit(id, "1");
  admission.admit("a", "2");
  admission.admit("c", "2");
  expect(ran).toEqual(["a1", "b1", "a2"]);
  expect(admission.waiting).toBe(2);
  admission.busy("a", false);
  expect(ran).toEqual(["a1", "b1", "a2", "c1", "c2"]);
  admission.forget("d");
  admission.busy("b", false);
  expect(ran).toHaveLength(5);
});

test("a replica that owns all shards listens with one filter, another with those of its shards", () => {
  const all = ownedShards({ owns: () => true });
  expect(all).toHaveLength(64);
  expect(resultFilters(all)).toEqual(["driftless.v1.res.>"]);
  const some = ownedShards({ owns: (shard) => shard < 2 });
  expect(resultFilters(some)).toEqual(["driftless.v1.res.0.>", "driftless.v1.res.1.>"]);
  expect(liveChangedFilters(some)).toEqual(["driftless.v1.fact.live-changed.0", "driftless.v1.fact.live-changed.1"]);
  expect(triggerDurables(some).map((durable) => durable.name)).toEqual(["refresh-0", "refresh-1", "refresh-all"]);
});

test("settings are read as Argo CD writes them, and a wrong one is told and left at its default", () => {
  const configMap = (data: Record<string, string>) => ({ data }) as never;
  expect(settingsOf(undefined, "argocd").settings).toMatchObject({
    pollIntervalMs: 120_000,
    tracking: { trackingMethod: "annotation" },
  });
  expect(settingsOf(configMap({ "timeout.reconciliation": "0s" }), "argocd").settings.pollIntervalMs).toBe(0);
  expect(
    settingsOf(configMap({ "application.resourceTrackingMethod": "label" }), "argocd").settings.tracking.trackingMethod,
  ).toBe("label");
  const wrong = settingsOf(configMap({ "timeout.reconciliation": "soon" }), "argocd");
  expect(wrong.settings.pollIntervalMs).toBe(120_000);
  expect(wrong.problems[0]).toContain("timeout.reconciliation");
});
