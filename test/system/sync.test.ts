// Hops 4 and 5 on a real API server and a real nats-server: what is compared, asked, written, noticed and refused.
import { digestOf } from "@driftless/bus/blobs";
import { encodeManifests } from "@driftless/manifests/manifests-blob";
import { systemClock as clock, waitUntil } from "@driftless/process/clock";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  DEADLINE_MS,
  keyOf,
  outcomes,
  planned,
  startHops,
  verdicts,
  type App,
  type Hops,
  type SentRequest,
  type Source,
} from "../harness/hops.ts";

let hops: Hops;
beforeAll(async () => {
  hops = await startHops();
});
afterAll(async () => {
  await hops?.[Symbol.asyncDispose]();
});

const configMap = (name: string, data: Record<string, string> = { a: "1" }, metadata = {}): Source => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { name, ...metadata },
  data,
});
const deployment = (name: string, replicas: number, image = "nginx:1"): Source => ({
  apiVersion: "apps/v1",
  kind: "Deployment",
  metadata: { name },
  spec: {
    replicas,
    selector: { matchLabels: { app: name } },
    template: { metadata: { labels: { app: name } }, spec: { containers: [{ name: "web", image }] } },
  },
});
const service = (name: string): Source => ({
  apiVersion: "v1",
  kind: "Service",
  metadata: { name },
  spec: { selector: { app: name }, ports: [{ port: 80 }] },
});

async function deployed(name: string, sources: Source[]): Promise<App> {
  const app = await hops.app(name);
  await app.render(sources);
  await app.sync();
  return app;
}

const changesOf = (app: App) => hops.changes.filter((change) => change.app.uid === app.ref.uid);
const told = (app: App, change: string, name: string) =>
  waitUntil(
    clock,
    `${change} of ${name}`,
    () => changesOf(app).find((c) => c.change === change && c.object.name === name),
    { deadlineMs: DEADLINE_MS, intervalMs: 5 },
  );
const writes = (requests: readonly SentRequest[]) =>
  requests.filter(({ method, query, refused }) => method !== "GET" && query?.["dryRun"] === undefined && !refused);
const dryRuns = (requests: readonly SentRequest[]) => requests.filter(({ query }) => query?.["dryRun"] !== undefined);

/** Until the differ has seen the newest state of everything: all Synced. */
const synced = (app: App) =>
  waitUntil(
    clock,
    `${app.name} synced`,
    async () => {
      const diff = await app.diff();
      return diff.objects.every(({ verdict }) => verdict === "Synced") && diff;
    },
    { deadlineMs: DEADLINE_MS },
  );

describe("a first apply", () => {
  test("makes the namespace and every object, and is Synced and Healthy without another question", async () => {
    const app = await hops.app("first");
    await app.render([deployment("web", 2), service("web"), configMap("settings")]);
    const before = await app.diff();
    expect(verdicts(before.objects)).toEqual([
      "ConfigMap/settings: Missing",
      "Deployment/web: Missing",
      "Service/web: Missing",
    ]);
    expect(before.namespaceMissing).toBe(true);

    const { applied } = await app.sync();
    expect(outcomes(applied!.objects)).toEqual([
      "ConfigMap/settings: created",
      "Deployment/web: created",
      "Service/web: created",
    ]);
    expect(applied!.objects.find(({ kind }) => kind === "Deployment")?.message).toBe("deployment.apps/web created");
    expect(applied!.objects.every(({ record }) => record)).toBe(true);

    const health = await waitUntil(
      clock,
      "the Deployment healthy",
      () => changesOf(app).find((c) => c.change === "health" && c.health?.status === "Healthy"),
      { deadlineMs: DEADLINE_MS },
    );
    expect(health.object.kind).toBe("Deployment");
    const asked = dryRuns(hops.syncerRequests).length;
    const after = await synced(app);
    expect(after.namespaceMissing).toBe(false);
    expect(dryRuns(hops.syncerRequests)).toHaveLength(asked);
    expect(changesOf(app).filter(({ change }) => change !== "health")).toEqual([]);
  });

  test("tracks each object as Argo CD does, and not the namespace it made", async () => {
    await deployed("tracked", [configMap("one")]);
    const id = await hops.kubectl([
      "get",
      "cm",
      "one",
      "-n",
      "tracked",
      "-o",
      "jsonpath={.metadata.annotations.argocd\\.argoproj\\.io/tracking-id}",
    ]);
    expect(id).toBe("tracked:/ConfigMap:tracked/one");
    expect(await hops.kubectl(["get", "ns", "tracked", "-o", "jsonpath={.metadata.annotations}"])).toBe("");
  });

  test("without CreateNamespace a missing namespace is a failure by name", async () => {
    const app = await hops.app("nowhere");
    await app.render([configMap("one"), { apiVersion: "v1", kind: "Secret", metadata: { name: "s" } }]);
    const diff = await app.diff();
    const { objects } = await app.predict(diff.objects.map(planned), false);
    expect(objects.map(({ outcome, failure }) => [outcome, failure?.code])).toEqual([
      ["failed", "NAMESPACE_MISSING"],
      ["failed", "NAMESPACE_MISSING"],
    ]);
  });
});

describe("nothing to do", () => {
  test("an unchanged set costs no dry run and no write", async () => {
    const app = await deployed("quiet", [configMap("one"), service("web"), deployment("web", 0)]);
    await synced(app);
    const before = hops.syncerRequests.length;
    const again = await app.sync();
    expect(again.predicted).toBe(0);
    expect(hops.syncerRequests).toHaveLength(before);
  });

  test("one changed object of three costs one dry run and one write", async () => {
    const app = await deployed("one-of-three", [configMap("a"), configMap("b"), configMap("c")]);
    await synced(app);
    await app.render([configMap("a"), configMap("b", { a: "2" }), configMap("c")]);
    const before = hops.syncerRequests.length;
    const { diff, applied } = await app.sync();
    expect(
      diff.objects.filter(({ verdict }) => verdict === "Suspect").map(({ name, reason }) => [name, reason]),
    ).toEqual([["b", "desired changed"]]);
    const sent = hops.syncerRequests.slice(before);
    expect(dryRuns(sent)).toHaveLength(1);
    expect(writes(sent)).toHaveLength(1);
    expect(applied!.objects[0]).toMatchObject({
      outcome: "configured",
      fields: [{ path: "data.a", live: '"1"', desired: '"2"' }],
    });
    await synced(app);
  });

  test("a restarted differ finds everything Synced from what it remembers", async () => {
    const app = await deployed("restart", [configMap("one"), deployment("web", 1)]);
    await synced(app);
    const resets = hops.resets.length;
    // The last ten minutes of results would tell it all again; what it keeps for itself has to do.
    await hops.restartDiffer(() => hops.nats(["stream", "purge", "RESULTS", "--force"]));
    const before = hops.syncerRequests.length;
    const diff = await app.diff();
    expect(verdicts(diff.objects)).toEqual(["ConfigMap/one: Synced", "Deployment/web: Synced"]);
    expect(hops.syncerRequests).toHaveLength(before);
    await waitUntil(clock, "the reset told", () => hops.resets.length > resets, { deadlineMs: DEADLINE_MS });
  });
});

describe("drift", () => {
  test("kubectl scale is a suspicion that names kubectl, is healed in one write, and is told once", async () => {
    const app = await deployed("drift", [deployment("web", 3)]);
    await synced(app);
    await hops.kubectl(["scale", "deployment/web", "-n", "drift", "--replicas=5"]);
    const change = await told(app, "suspect", "web");
    expect(change.by).toBe("kubectl");
    const before = hops.syncerRequests.length;
    const healed = await app.apply({ purpose: "heal", apply: [{ ...keyOf(change.object), live: change.live }] });
    const [object] = healed.objects;
    expect(object).toMatchObject({ outcome: "configured", takenFrom: ["kubectl"] });
    expect(object!.fields).toContainEqual({ path: "spec.replicas", live: "5", desired: "3" });
    expect(writes(hops.syncerRequests.slice(before))).toHaveLength(1);
    expect(await hops.kubectl(["get", "deployment/web", "-n", "drift", "-o", "jsonpath={.spec.replicas}"])).toBe("3");
    await synced(app);
    await waitUntil(clock, "Healthy again", () => changesOf(app).at(-1)?.health?.status === "Healthy", {
      deadlineMs: DEADLINE_MS,
    });
    expect(changesOf(app).filter((c) => c.change === "suspect")).toHaveLength(1);
  });

  test("a field that Git does not name is nobody's drift", async () => {
    const app = await deployed("beside", [configMap("one")]);
    await synced(app);
    await hops.kubectl(["annotate", "cm/one", "-n", "beside", "note=mine"]);
    await hops.kubectl(["patch", "cm/one", "-n", "beside", "-p", '{"data":{"theirs":"x"}}']);
    const live = await hops.kubectl(["get", "cm/one", "-n", "beside", "-o", "jsonpath={.metadata.resourceVersion}"]);
    const diff = await waitUntil(
      clock,
      "the change seen",
      async () => {
        const now = await app.diff();
        return now.objects[0]?.live?.resourceVersion === live && now;
      },
      { deadlineMs: DEADLINE_MS },
    );
    expect(diff.objects[0]?.verdict).toBe("Synced");
    expect(changesOf(app)).toEqual([]);
  });

  test("a deleted object is told, missing, and made again by a heal", async () => {
    const app = await deployed("deleted", [configMap("one"), configMap("two")]);
    await synced(app);
    await hops.kubectl(["delete", "cm/one", "-n", "deleted"]);
    const change = await told(app, "deleted", "one");
    expect(verdicts((await app.diff()).objects)).toEqual(["ConfigMap/one: Missing", "ConfigMap/two: Synced"]);
    const healed = await app.apply({ purpose: "heal", apply: [keyOf(change.object)] });
    expect(outcomes(healed.objects)).toEqual(["ConfigMap/one: created"]);
    await synced(app);
  });

  test("a suspicion that is none is applied without a write being made, and is Synced after", async () => {
    const app = await deployed("no-drift", [configMap("one")]);
    const diff = await synced(app);
    const { objects } = await app.apply({ purpose: "heal", apply: diff.objects.map(planned) });
    expect(objects[0]).toMatchObject({
      outcome: "unchanged",
      live: { resourceVersion: diff.objects[0]!.live!.resourceVersion },
    });
    await synced(app);
    expect(changesOf(app)).toEqual([]);
  });

  test("many syncs one after the other raise no suspicion of our own making", async () => {
    const app = await deployed("own", [configMap("one"), deployment("web", 1)]);
    for (let round = 0; round < 8; round++) {
      await app.render([
        configMap("one", { [`key${round % 3}`]: String(round) }),
        deployment("web", 1, `nginx:${round}`),
      ]);
      await app.sync();
    }
    await synced(app);
    expect(changesOf(app).filter(({ change }) => change !== "health")).toEqual([]);
  });
});

describe("takeover", () => {
  test("of what kubectl applied: Git's fields win, and what Git lacks goes", async () => {
    await hops.kubectl(["create", "namespace", "takeover"]);
    await hops.kubectl(
      ["apply", "-f", "-"],
      JSON.stringify({
        ...configMap("one", { a: "old", gone: "x" }),
        metadata: { name: "one", namespace: "takeover" },
      }),
    );
    const app = await hops.app("takeover");
    await app.render([configMap("one", { a: "new" })]);
    const diff = await app.diff();
    expect(diff.objects[0]).toMatchObject({ verdict: "Suspect", reason: "no record" });
    const { objects } = await app.predict(diff.objects.map(planned));
    expect(objects[0]!.outcome).toBe("differs");
    expect(objects[0]!.managers).toEqual(["kubectl-client-side-apply"]);
    expect(objects[0]!.fields.map(({ path }) => path)).toEqual(expect.arrayContaining(["data.a", "data.gone"]));
    const { applied } = await app.sync();
    expect(applied!.objects[0]!.outcome).toBe("configured");
    expect(JSON.parse(await hops.kubectl(["get", "cm/one", "-n", "takeover", "-o", "jsonpath={.data}"]))).toEqual({
      a: "new",
    });
    const managers = await hops.kubectl([
      "get",
      "cm/one",
      "-n",
      "takeover",
      "--show-managed-fields",
      "-o",
      "jsonpath={.metadata.managedFields[*].manager}",
    ]);
    expect(managers).toBe("argocd-controller");
    await synced(app);
  });
});

describe("prune", () => {
  test("takes what is in the inventory, live, ours and no longer desired; and nothing else", async () => {
    const app = await deployed("prune", [
      configMap("stays"),
      configMap("goes"),
      configMap("kept", { a: "1" }, { annotations: { "argocd.argoproj.io/sync-options": "Prune=false" } }),
      configMap("untracked"),
      configMap("vanished"),
    ]);
    await synced(app);
    await hops.kubectl(["annotate", "cm/untracked", "-n", "prune", "argocd.argoproj.io/tracking-id-"]);
    await hops.kubectl(["delete", "cm/vanished", "-n", "prune"]);
    await told(app, "deleted", "vanished");
    await told(app, "suspect", "untracked");
    await app.render([configMap("stays")]);
    const { diff, applied } = await app.sync({ prune: true });
    expect(verdicts(diff.objects)).toEqual([
      "ConfigMap/goes: Extra",
      "ConfigMap/kept: Extra",
      "ConfigMap/stays: Synced",
    ]);
    expect(diff.objects.find(({ name }) => name === "kept")?.consents).toEqual({ prune: "no" });
    expect(outcomes(applied!.objects)).toEqual(["ConfigMap/goes: pruned", "ConfigMap/kept: pruneSkipped"]);
    const left = await hops.kubectl(["get", "cm", "-n", "prune", "-o", "name"]);
    expect(left.split("\n").toSorted()).toEqual([
      "configmap/kept",
      "configmap/kube-root-ca.crt",
      "configmap/stays",
      "configmap/untracked",
    ]);
  });

  test("S2: nothing is pruned when any apply failed", async () => {
    const app = await deployed("s2", [configMap("old")]);
    await synced(app);
    await app.render([configMap("UPPER")]);
    const { diff } = await app.diff().then((d) => ({ diff: d }));
    const apply = diff.objects.filter(({ verdict }) => verdict === "Missing").map(planned);
    const prune = diff.objects.filter(({ verdict }) => verdict === "Extra").map(planned);
    expect(prune).toHaveLength(1);
    const applied = await app.apply({ ...(await app.begin()), apply, prune });
    expect(outcomes(applied.objects)).toEqual(["ConfigMap/UPPER: failed", "ConfigMap/old: pruneSkipped"]);
    expect(await hops.kubectl(["get", "cm/old", "-n", "s2", "-o", "name"])).toBe("configmap/old");
  });

  test("an object that was replaced since it was judged is not deleted", async () => {
    const app = await deployed("replaced", [configMap("stays"), configMap("goes")]);
    await synced(app);
    await app.render([configMap("stays")]);
    const diff = await app.diff();
    const prune = diff.objects.filter(({ verdict }) => verdict === "Extra").map(planned);
    const text = await hops.kubectl(["get", "cm/goes", "-n", "replaced", "-o", "json"]);
    await hops.kubectl(["delete", "cm/goes", "-n", "replaced"]);
    const { metadata, ...rest } = JSON.parse(text) as { metadata: Record<string, unknown> };
    const copy = { ...rest, metadata: { name: "goes", namespace: "replaced", annotations: metadata["annotations"] } };
    await hops.kubectl(["create", "-f", "-"], JSON.stringify(copy));
    const applied = await app.apply({ ...(await app.begin()), prune });
    expect(applied.objects[0]).toMatchObject({ outcome: "pruneSkipped", message: expect.stringContaining("replaced") });
    expect(await hops.kubectl(["get", "cm/goes", "-n", "replaced", "-o", "name"])).toBe("configmap/goes");
  });
});

describe("a prune that is overtaken", () => {
  test("does not delete an object that asks to be kept in the very moment before the delete", async () => {
    const app = await deployed("overtaken", [configMap("stays"), configMap("goes")]);
    await synced(app);
    await app.render([configMap("stays")]);
    const diff = await app.diff();
    const prune = diff.objects.filter(({ verdict }) => verdict === "Extra").map(planned);
    hops.beforeSyncer = async ({ method, path }) => {
      if (method !== "DELETE" || !path.endsWith("/overtaken/configmaps/goes")) return false;
      await hops.kubectl(["annotate", "cm/goes", "-n", "overtaken", "argocd.argoproj.io/sync-options=Prune=false"]);
      return true;
    };
    const applied = await app.apply({ ...(await app.begin()), prune });
    expect(hops.beforeSyncer).toBeUndefined();
    expect(applied.objects[0]).toMatchObject({
      outcome: "pruneSkipped",
      message: expect.stringContaining("Prune=false"),
    });
    expect(await hops.kubectl(["get", "cm/goes", "-n", "overtaken", "-o", "name"])).toBe("configmap/goes");
  });
});

describe("the deletion of an Application", () => {
  test("takes its objects along but what asks to stay, only while it is being deleted, and needs no manifests", async () => {
    const kept = { annotations: { "argocd.argoproj.io/sync-options": "Delete=false" } };
    const app = await deployed("deletion", [configMap("goes"), configMap("stays", {}, kept), service("web")]);
    const { objects } = await synced(app);
    app.manifestsDigest = "0".repeat(64);
    const prune = objects.map(planned);
    const early = await app.tryApply({ purpose: "delete", prune });
    expect((early.message as { failure: { code: string } }).failure.code).toBe("OPERATION_SUPERSEDED");

    const finalizers = ["resources-finalizer.argocd.argoproj.io"];
    await hops.kubectl([
      "patch",
      "app/deletion",
      "-n",
      "argocd",
      "--type=merge",
      "-p",
      JSON.stringify({ metadata: { finalizers } }),
    ]);
    await hops.kubectl(["delete", "app/deletion", "-n", "argocd", "--wait=false"]);
    const applied = await app.apply({ purpose: "delete", prune });
    expect(outcomes(applied.objects)).toEqual([
      "ConfigMap/goes: pruned",
      "ConfigMap/stays: pruneSkipped",
      "Service/web: pruned",
    ]);
    expect(await hops.kubectl(["get", "cm,svc", "-n", "deletion", "-o", "name"])).toBe(
      "configmap/kube-root-ca.crt\nconfigmap/stays",
    );
  });
});

describe("what belongs to others", () => {
  test("an object that another Application tracks is refused, and stays as it is", async () => {
    const owner = await hops.app("owner", { destinationNamespace: "shared" });
    await owner.render([configMap("one", { by: "owner" })]);
    await owner.sync();
    await synced(owner);
    const thief = await hops.app("thief", { destinationNamespace: "shared" });
    await thief.render([configMap("one", { by: "thief" })]);
    const diff = await thief.diff();
    expect(diff.objects[0]?.failure?.code).toBe("RESOURCE_OWNED_BY_OTHER");
    const { objects } = await thief.predict(diff.objects.map(planned));
    expect(objects[0]).toMatchObject({ outcome: "failed", failure: { code: "RESOURCE_OWNED_BY_OTHER" } });
    expect(await hops.kubectl(["get", "cm/one", "-n", "shared", "-o", "jsonpath={.data.by}"])).toBe("owner");
  });

  test.each(["annotation", "label"] as const)(
    "an Application of another namespace is tracked by %s under both names, and knows what is its own",
    async (trackingMethod) => {
      const name = `shop-${trackingMethod}`;
      const at = { destinationNamespace: `elsewhere-${trackingMethod}`, tracking: { trackingMethod } };
      await hops.kubectl(["create", "namespace", "team"]).catch(() => "");
      const app = await hops.app(name, { namespace: "team", ...at });
      await app.render([configMap("one"), configMap("two")]);
      await app.sync();
      await synced(app);
      const { metadata } = JSON.parse(
        await hops.kubectl(["get", "cm/one", "-n", at.destinationNamespace, "-o", "json"]),
      );
      expect(trackingMethod === "label" ? metadata.labels : metadata.annotations).toEqual(
        trackingMethod === "label"
          ? { "app.kubernetes.io/instance": `team_${name}` }
          : { "argocd.argoproj.io/tracking-id": `team_${name}:/ConfigMap:${at.destinationNamespace}/one` },
      );
      const namesake = await hops.app(name, at);
      await namesake.render([configMap("one")]);
      expect((await namesake.diff()).objects[0]?.failure?.message).toContain(`argocd/${name} and team/${name}`);
      await app.render([configMap("one")]);
      expect(verdicts((await app.diff()).objects)).toEqual(["ConfigMap/one: Synced", "ConfigMap/two: Extra"]);
    },
  );

  test("an object believed absent that is another Application's is not written over", async () => {
    const thief = await hops.app("blind-thief", { destinationNamespace: "shared" });
    await thief.render([configMap("one", { by: "thief" })]);
    const applied = await thief.apply({
      ...(await thief.begin()),
      apply: [{ group: "", version: "v1", kind: "ConfigMap", namespace: "shared", name: "one" }],
    });
    expect(applied.objects[0]?.failure?.code).toBe("RESOURCE_OWNED_BY_OTHER");
    expect(await hops.kubectl(["get", "cm/one", "-n", "shared", "-o", "jsonpath={.data.by}"])).toBe("owner");
  });

  test("an object believed absent that is there and nobody's is taken, behind its fence", async () => {
    await hops.kubectl(["create", "namespace", "adopt"]);
    await hops.kubectl(["create", "cm", "one", "-n", "adopt", "--from-literal=a=old"]);
    const app = await hops.app("adopt");
    await app.render([configMap("one", { a: "new" })]);
    const applied = await app.apply({
      ...(await app.begin()),
      apply: [{ group: "", version: "v1", kind: "ConfigMap", namespace: "adopt", name: "one" }],
    });
    expect(applied.objects[0]?.outcome).toBe("configured");
    expect(await hops.kubectl(["get", "cm/one", "-n", "adopt", "-o", "jsonpath={.data.a}"])).toBe("new");
  });

  test("an object that changed under a step is read again and applied", async () => {
    const app = await deployed("conflict", [configMap("one")]);
    const diff = await synced(app);
    await hops.kubectl(["patch", "cm/one", "-n", "conflict", "-p", '{"data":{"a":"2"}}']);
    const applied = await app.apply({ ...(await app.begin()), apply: diff.objects.map(planned) });
    expect(applied.objects[0]).toMatchObject({ outcome: "configured", takenFrom: ["kubectl-patch"] });
    expect(await hops.kubectl(["get", "cm/one", "-n", "conflict", "-o", "jsonpath={.data.a}"])).toBe("1");
  });
});

describe("a withdrawn operation", () => {
  test.each([
    ["another operation", "other", 7, "Running"],
    ["another owner", "mine", 8, "Running"],
    ["ended", "mine", 7, "Failed"],
  ])("writes nothing: %s", async (why, id, epoch, phase) => {
    const app = await hops.app(`withdrawn-${why.replaceAll(" ", "-")}`, { destinationNamespace: "default" });
    await app.render([configMap("withdrawn")]);
    await app.record(id, epoch, phase);
    const apply = [{ group: "", version: "v1", kind: "ConfigMap", namespace: "default", name: "withdrawn" }];
    const { name, message } = await app.tryApply({ operationId: "mine", epoch: 7, apply });
    expect(name).toBe("StepFailed");
    expect((message as { failure: { code: string } }).failure.code).toBe("OPERATION_SUPERSEDED");
    expect(await hops.kubectl(["get", "cm", "-n", "default", "-o", "name"])).not.toContain("withdrawn");
  });
});

describe("time", () => {
  test("a step without time left begins nothing and says so", async () => {
    const app = await hops.app("late", { destinationNamespace: "default" });
    await app.render([configMap("too-late")]);
    const apply = [{ group: "", version: "v1", kind: "ConfigMap", namespace: "default", name: "too-late" }];
    const applied = await app.apply({ ...(await app.begin()), apply, deadlineAt: clock.now() + 900 });
    expect(applied.objects[0]?.failure?.code).toBe("DEADLINE_EXCEEDED");
    expect(await hops.kubectl(["get", "cm", "-n", "default", "-o", "name"])).not.toContain("too-late");
  });
});

describe("bad input", () => {
  test("an object that the API server refuses fails alone in its group, by name, and the next group waits", async () => {
    const app = await hops.app("bad", { destinationNamespace: "default" });
    await app.render([configMap("good"), configMap("Bad_Name"), service("after-bad")]);
    const diff = await app.diff();
    const { objects } = await app.predict(diff.objects.map(planned));
    expect(outcomes(objects)).toEqual([
      "ConfigMap/Bad_Name: failed",
      "ConfigMap/good: creates",
      "Service/after-bad: creates",
    ]);
    expect(objects.find(({ name }) => name === "Bad_Name")?.failure).toMatchObject({
      code: "APPLY_INVALID",
      message: expect.stringContaining("metadata.name"),
    });
    const applied = await app.apply({ ...(await app.begin()), apply: diff.objects.map(planned) });
    expect(outcomes(applied.objects)).toEqual(["ConfigMap/Bad_Name: failed", "ConfigMap/good: created"]);
  });

  test("duplicate environment names are the schema's business, and terminal", async () => {
    const app = await hops.app("schema", { destinationNamespace: "default" });
    const broken = deployment("broken", 1) as Source & { spec: { template: { spec: { containers: object[] } } } };
    broken.spec.template.spec.containers = [{ name: "web", image: "x", ports: [{ containerPort: "eighty" }] }];
    await app.render([broken]);
    const diff = await app.diff();
    const { objects } = await app.predict(diff.objects.map(planned));
    expect(["APPLY_SCHEMA", "APPLY_INVALID"]).toContain(objects[0]?.failure?.code);
  });

  test("of two manifests of one object the last counts, with a warning that names both places", async () => {
    const app = await hops.app("twice");
    await app.render([configMap("one"), configMap("one", { a: "2" })]);
    const diff = await app.diff();
    expect(diff.objects).toMatchObject([{ kind: "ConfigMap", name: "one", verdict: "Missing" }]);
    expect(diff.warnings).toMatchObject([
      { code: "DUPLICATE_RESOURCE", message: expect.stringMatching(/one appeared 2 times .*all.yaml:1 and all.yaml/) },
    ]);
  });

  test("what is not honoured yet is refused, each by its path", async () => {
    const app = await hops.app("unsupported");
    const hook = { annotations: { "argocd.argoproj.io/sync-options": "Nonsense=true" } };
    const option = { annotations: { "argocd.argoproj.io/sync-options": "Replace=maybe" } };
    await app.render([configMap("one", {}, hook), configMap("two", {}, option)]);
    const { name, message } = await app.tryDiff();
    expect(name).toBe("DiffFailed");
    const { failures } = message as { failures: { code: string; path: string }[] };
    expect(failures.map(({ code }) => code)).toEqual(["UNSUPPORTED_FIELD", "UNSUPPORTED_FIELD"]);
    expect(failures.map(({ path }) => path).join(" ")).toMatch(/Nonsense.*Replace/);
  });

  test("nothing at all needs no blob: a deletion compares with it for as long as it takes", async () => {
    const app = await hops.app("nothing");
    app.manifestsDigest = digestOf(encodeManifests([]));
    expect((await app.diff()).objects).toEqual([]);
  });

  test("a blob that is gone is a failure, never an empty set", async () => {
    const app = await hops.app("gone");
    app.manifestsDigest = "0".repeat(64);
    const { name, message } = await app.tryDiff();
    expect(name).toBe("DiffFailed");
    expect((message as { failure: { code: string } }).failure.code).toBe("BLOB_GONE");
  });
});

describe("kinds", () => {
  const crd = (group: string): Source => ({
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: `things.${group}` },
    spec: {
      group,
      scope: "Namespaced",
      names: { kind: "Thing", plural: "things", singular: "thing", listKind: "ThingList" },
      versions: [
        {
          name: "v1",
          served: true,
          storage: true,
          schema: { openAPIV3Schema: { type: "object", "x-kubernetes-preserve-unknown-fields": true } },
        },
      ],
    },
  });
  const thing = (group: string): Source => ({
    apiVersion: `${group}/v1`,
    kind: "Thing",
    metadata: { name: "one" },
    spec: { size: 1 },
  });

  test("an unknown kind makes only its own objects Unknown", async () => {
    const app = await hops.app("unknown-kind", { destinationNamespace: "default" });
    await app.render([thing("nowhere.example.org"), configMap("beside-unknown")]);
    const diff = await app.diff();
    expect(verdicts(diff.objects)).toEqual(["ConfigMap/beside-unknown: Missing", "Thing/one: Unknown"]);
    expect(diff.objects.find(({ kind }) => kind === "Thing")?.failure).toMatchObject({
      code: "KIND_UNKNOWN",
      file: "all.yaml",
    });
  });

  test("a kind that comes with its CRD in the same set is made in one sync, and drift of it is seen", async () => {
    const app = await hops.app("crd", { destinationNamespace: "default" });
    await app.render([thing("made.example.org"), crd("made.example.org")]);
    const { diff, applied } = await app.sync();
    expect(verdicts(diff.objects)).toEqual([
      "CustomResourceDefinition/things.made.example.org: Missing",
      "Thing/one: Missing",
    ]);
    expect(outcomes(applied!.objects)).toEqual([
      "CustomResourceDefinition/things.made.example.org: created",
      "Thing/one: created",
    ]);
    await synced(app);
    await hops.kubectl(["patch", "thing/one", "-n", "default", "--type=merge", "-p", '{"spec":{"size":2}}']);
    await told(app, "suspect", "one");
  });
});

describe("secrets", () => {
  test("no value of a Secret is ever said: not in a diff, a step, a fact, an error", async () => {
    const canary = "CANARY-7f3";
    const encoded = Buffer.from(canary).toString("base64");
    const app = await hops.app("secrets");
    const secret = (metadata: Record<string, unknown>, more: Record<string, unknown>): Source => ({
      apiVersion: "v1",
      kind: "Secret",
      metadata: { name: "s", ...metadata },
      ...more,
    });
    await app.render([secret({}, { stringData: { password: canary } })]);
    await app.sync();
    await synced(app);
    await hops.kubectl([
      "patch",
      "secret/s",
      "-n",
      "secrets",
      "-p",
      `{"data":{"password":"${Buffer.from(`${canary}-changed`).toString("base64")}"}}`,
    ]);
    await told(app, "suspect", "s");
    const { applied } = await app.sync();
    expect(applied!.objects[0]!.fields.map(({ path }) => path)).toContain("data.password");
    expect(await hops.kubectl(["get", "secret/s", "-n", "secrets", "-o", "jsonpath={.data.password}"])).toBe(encoded);
    await hops.kubectl(
      ["apply", "-f", "-", "-n", "secrets"],
      JSON.stringify(secret({ name: "by-kubectl" }, { stringData: { password: canary } })),
    );
    await app.render([
      secret({ name: "by-kubectl" }, { stringData: { password: `${canary}2` } }),
      secret({ name: "broken" }, { data: { password: `!${canary}` } }),
    ]);
    const diff = await app.diff();
    const { objects } = await app.predict(diff.objects.filter(({ verdict }) => verdict !== "Extra").map(planned));
    expect(outcomes(objects)).toEqual(["Secret/broken: failed", "Secret/by-kubectl: differs"]);
    const everything = hops.said.join("\n");
    expect(everything).not.toContain(canary);
    expect(everything).not.toContain(encoded.slice(0, 10));
  });
});

describe("another cluster", () => {
  const grant = (resources: string) =>
    hops
      .kubectl(["create", "clusterrole", `limited-${resources}`, "--verb=*", `--resource=${resources}`])
      .then(() =>
        hops.kubectl([
          "create",
          "clusterrolebinding",
          `limited-${resources}`,
          `--clusterrole=limited-${resources}`,
          "--serviceaccount=argocd:limited",
        ]),
      );

  test("is found by its Secret; a kind that its account may not read is Unknown alone, until it may", async () => {
    await hops.kubectl(["create", "serviceaccount", "limited", "-n", "argocd"]);
    await hops.kubectl(["create", "namespace", "limited"]);
    await grant("configmaps");
    const token = await hops.kubectl(["create", "token", "limited", "-n", "argocd"]);
    const { server } = hops.client;
    const config = {
      bearerToken: token,
      tlsClientConfig: { caData: Buffer.from(hops.client.config.ca!).toString("base64") },
    };
    const secret = {
      apiVersion: "v1",
      kind: "Secret",
      metadata: { name: "limited", namespace: "argocd", labels: { "argocd.argoproj.io/secret-type": "cluster" } },
      stringData: { name: "limited", server: `${server}/`, config: JSON.stringify(config) },
    };
    const app = await hops.app("limited", { server });
    await app.render([configMap("one"), service("web")]);
    const before = await app.tryDiff();
    expect(before.name).toBe("DiffFailed");
    expect((before.message as { failure: { code: string } }).failure.code).toBe("DESTINATION_UNKNOWN");

    await hops.kubectl(["create", "-f", "-"], JSON.stringify(secret));
    const diff = await waitUntil(
      clock,
      "the cluster known",
      async () => {
        const { name, message } = await app.tryDiff();
        return name === "DiffComputed" && (message as Awaited<ReturnType<App["diff"]>>);
      },
      { deadlineMs: DEADLINE_MS },
    );
    expect(diff.server).toBe(server);
    expect(verdicts(diff.objects)).toEqual(["ConfigMap/one: Missing", "Service/web: Unknown"]);
    expect(diff.objects.find(({ kind }) => kind === "Service")?.failure?.code).toBe("CLUSTER_FORBIDDEN");
    const { objects } = await app.predict(diff.objects.map(planned));
    expect(objects.map(({ outcome, failure }) => failure?.code ?? outcome).toSorted()).toEqual([
      "APPLY_FORBIDDEN",
      "creates",
    ]);

    // The credentials are changed, and used at once.
    const renewed = await hops.kubectl(["create", "token", "limited", "-n", "argocd", "--duration=2h"]);
    const changed = { stringData: { config: JSON.stringify({ ...config, bearerToken: renewed }) } };
    await hops.kubectl(["patch", "secret/limited", "-n", "argocd", "-p", JSON.stringify(changed)]);
    expect((await app.diff()).objects.map(({ verdict }) => verdict).toSorted()).toEqual(["Missing", "Unknown"]);

    await grant("services");
    await told(app, "suspect", "web");
    expect(verdicts((await app.diff()).objects)).toEqual(["ConfigMap/one: Missing", "Service/web: Missing"]);
    await app.sync();
    await synced(app);
  });
});

describe("after an outage", () => {
  test("of the API server: what changed during it is found, and nothing else is told", async () => {
    const app = await deployed("outage", [configMap("one"), configMap("two"), deployment("web", 1)]);
    await synced(app);
    await hops.restartApiServer();
    await hops.kubectl(["patch", "cm/one", "-n", "outage", "-p", '{"data":{"a":"2"}}']);
    await told(app, "suspect", "one");
    expect((await app.diff()).objects.find(({ name }) => name === "one")).toMatchObject({
      verdict: "Suspect",
      reason: "drift",
    });
    await app.sync();
    await synced(app);
    expect(
      changesOf(app)
        .filter(({ change }) => change !== "health")
        .map(({ object }) => object.name),
    ).toEqual(["one"]);
  });

  test("of NATS, all of whose data was lost: syncs go on, and what is remembered still holds", async () => {
    const app = await deployed("wiped", [configMap("one"), deployment("web", 1)]);
    await synced(app);
    await hops.restartNats({ wipe: true });
    await app.render([configMap("one"), deployment("web", 1)]);
    const before = dryRuns(hops.syncerRequests).length;
    await synced(app);
    expect(dryRuns(hops.syncerRequests)).toHaveLength(before);
    await app.render([configMap("one", { a: "2" }), deployment("web", 1)]);
    const { applied } = await app.sync();
    expect(outcomes(applied!.objects)).toEqual(["ConfigMap/one: configured"]);
    await synced(app);
  });
});
