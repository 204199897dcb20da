// Applications of several sources: each rendered alone, all of them one desired state (contract §1, §4, §8).
import { join } from "node:path";
import { expect, test } from "vitest";
import type { ApplicationObject } from "../harness/applications.ts";
import { configMap, eventually, kubectl, kubectlJson, push, run, useWorld } from "../harness/story.ts";
import { operate } from "./sync.ts";

const use = useWorld();

type Source = Record<string, unknown>;

const CHART = {
  "web/Chart.yaml": "apiVersion: v2\nname: web\nversion: 1.0.0\n",
  "web/values.yaml": "color: none\n",
  "web/templates/settings.yaml": configMap("settings").replace('"value"', "{{ .Values.color | quote }}"),
};

const repository = async (name: string, files: Record<string, string>) => {
  const { url, sha } = await use.world.git.createRepository(name, files);
  return {
    url,
    sha: sha!,
    from: (path: string, more: Source = {}) => ({ repoURL: url, targetRevision: "main", path, ...more }),
  };
};

const create = (
  name: string,
  sources: Source[],
  automated: Record<string, unknown> | false = { prune: true },
  project = "default",
) =>
  use.world.applications.create({
    name,
    repoURL: "",
    path: "",
    project,
    automated,
    spec: { source: undefined, sources },
  });

const data = async (namespace: string, name = "settings"): Promise<Record<string, string>> =>
  (await kubectlJson<{ data: Record<string, string> }>(use.world, "get", "configmap", "-n", namespace, name)).data;

const syncOf = (app: ApplicationObject) => app.status!.sync as unknown as Record<string, unknown>;

const atRevisions = (name: string, revisions: string[]) =>
  use.world.applications.until(
    name,
    `synced at ${revisions.join(" ")}`,
    (app) =>
      app.status?.sync?.status === "Synced" && JSON.stringify(syncOf(app)["revisions"]) === JSON.stringify(revisions),
  );

test("a chart reads the values of another repository, and a push to those alone renders it again", async () => {
  const { world } = use;
  const chart = await repository("chart", CHART);
  const values = await repository("values", { "env/prod.yaml": "color: red\n", "README.md": "one" });
  const sources = [
    { ...chart.from("web"), helm: { valueFiles: ["$values/env/prod.yaml"] } },
    { repoURL: values.url, targetRevision: "main", ref: "values" },
  ];
  await create("chart", sources);
  const app = await atRevisions("chart", [chart.sha, values.sha]);
  expect(await data("chart")).toEqual({ key: "red" });

  const { status } = app as unknown as { status: Record<string, any> };
  expect(status["sync"]).toMatchObject({ comparedTo: { sources } });
  expect(status["sync"]).not.toHaveProperty("revision");
  expect(status["sync"]["comparedTo"]).not.toHaveProperty("source");
  expect(status["sourceTypes"]).toEqual(["Helm", ""]);
  expect(status).not.toHaveProperty("sourceType");
  const both = { revisions: [chart.sha, values.sha], sources };
  expect(status["history"]).toMatchObject([{ id: 0, ...both }]);
  expect(status["history"][0]).not.toHaveProperty("revision");
  expect(status["operationState"]["syncResult"]).toMatchObject(both);
  expect(status["operationState"]["operation"]["sync"]["revisions"]).toEqual(both.revisions);

  const sha = await world.git.commitFiles("values", { "env/prod.yaml": "color: blue\n" }, "blue");
  await push(world, values.url);
  await atRevisions("chart", [chart.sha, sha]);
  expect(await data("chart")).toEqual({ key: "blue" });

  // What nobody reads is no reason to do anything; it is told with the next change.
  await world.git.commitFiles("values", { "README.md": "two" }, "unread");
  await push(world, values.url);
  const last = await world.git.commitFiles("values", { "env/prod.yaml": "color: green\n" }, "green");
  await push(world, values.url);
  const after = await atRevisions("chart", [chart.sha, last]);
  expect(after.status?.history).toHaveLength(3);
});

test("an object of two sources is the later one's, with a warning; a source that goes takes along what it brought", async () => {
  const { world } = use;
  const one = await repository("one", {
    "a/cm.yaml": configMap("settings", { of: "one" }),
    "a/a.yaml": configMap("a"),
  });
  const two = await repository("two", {
    "b/cm.yaml": configMap("settings", { of: "two" }),
    "b/b.yaml": configMap("b"),
  });
  await world.applications.create({ name: "both", repoURL: one.url, path: "a", automated: { prune: true } });
  const single = await world.applications.synced("both", one.sha);
  expect(single.status).toHaveProperty("sourceType", "Directory");

  await world.applications.patch("both", { spec: { source: null, sources: [one.from("a"), two.from("b")] } });
  const app = await atRevisions("both", [one.sha, two.sha]);
  expect(app.status).toMatchObject({ sourceTypes: ["Directory", "Directory"] });
  expect(app.status).not.toHaveProperty("sourceType");
  expect(await data("both")).toEqual({ of: "two" });
  const repeated = app.status!.conditions!.filter(({ type }) => type === "RepeatedResourceWarning");
  expect(repeated.map(({ message }) => message)).toEqual([
    "[DUPLICATE_RESOURCE] Resource ConfigMap both/settings appeared 2 times among application resources, in sources[0]:a/cm.yaml:1 and sources[1]:b/cm.yaml:1; the last one counts.",
  ]);

  const sha = await world.git.commitFiles("two", { "b/b.yaml": configMap("b", { now: "changed" }) }, "b");
  await push(world, two.url);
  await atRevisions("both", [one.sha, sha]);
  expect(await data("both", "b")).toEqual({ now: "changed" });

  await world.applications.patch("both", { spec: { sources: [one.from("a")] } });
  const left = await atRevisions("both", [one.sha]);
  expect(await data("both")).toEqual({ of: "one" });
  expect(left.status?.resources?.map(({ name }) => name)).toEqual(["a", "settings"]);
  expect(left.status?.conditions ?? []).toEqual([]);
  await eventually("what the other source brought is gone", async () => {
    const found = await kubectl(world, "get", "configmap", "-n", "both", "b", "--ignore-not-found", "-o", "name");
    return found === "";
  });
});

test("a sync takes the revisions that it names, and a history entry can be brought back with all of its sources", async () => {
  const { world } = use;
  const one = await repository("old-one", { "a/a.yaml": configMap("a", { of: "old" }) });
  const two = await repository("old-two", { "b/b.yaml": configMap("b", { of: "old" }) });
  await create("old", [one.from("a"), two.from("b")], false);
  await world.applications.until("old", "compared", (app) => app.status?.sync?.status === "OutOfSync");
  const first = await operate(world, "old", { prune: true });
  const { revisions, sources } = first.status!.history![0] as unknown as { revisions: string[]; sources: Source[] };
  const entry = { revisions, sources };
  expect(entry.revisions).toEqual([one.sha, two.sha]);

  const [newOne, newTwo] = [
    await world.git.commitFiles("old-one", { "a/a.yaml": configMap("a", { of: "new" }) }, "new"),
    await world.git.commitFiles("old-two", { "b/b.yaml": configMap("b", { of: "new" }) }, "new"),
  ];
  await push(world, one.url);
  await push(world, two.url);
  await world.applications.until(
    "old",
    "compared with both pushes",
    (app) => JSON.stringify(syncOf(app)["revisions"]) === JSON.stringify([newOne, newTwo]),
  );
  // One of the two only: an empty one is what the Application follows.
  const mixed = await operate(world, "old", { revisions: [one.sha, ""] });
  expect(mixed.status?.operationState).toMatchObject({
    phase: "Succeeded",
    syncResult: { revisions: [one.sha, newTwo] },
  });
  expect([await data("old", "a"), await data("old", "b")]).toEqual([{ of: "old" }, { of: "new" }]);

  await world.applications.patch("old", { spec: { sources: [one.from("a")] } });
  const back = await operate(world, "old", {
    ...entry,
    syncStrategy: { apply: {} },
  });
  expect(back.status?.operationState).toMatchObject({ phase: "Succeeded", syncResult: entry });
  expect([await data("old", "a"), await data("old", "b")]).toEqual([{ of: "old" }, { of: "old" }]);
  expect(back.status?.history).toMatchObject([{ id: 0 }, { id: 1 }, { id: 2, ...entry }]);
  const now = await world.applications.until(
    "old",
    "compared with what it follows",
    (app) => app.status?.sync?.status === "OutOfSync" && JSON.stringify(syncOf(app)["revisions"]) === `["${newOne}"]`,
  );
  expect(now.status?.sync).toMatchObject({ comparedTo: { sources: [one.from("a")] } });

  const refused = await operate(world, "old", { revisions: [one.sha, two.sha] });
  expect(refused.status?.operationState).toMatchObject({
    phase: "Error",
    message: expect.stringContaining("2 revisions are named for 1 sources"),
  });
});

test("sources that make no sense are refused by the path of their field, one app at a time", async () => {
  const { world } = use;
  const some = await repository("some", { ...CHART, "a/a.yaml": configMap("a") });
  const sha = await world.git.commitFiles("some", { "values.yaml": "color: red\n" }, "values");
  await world.git.setRef("some", "refs/heads/other", some.sha);
  const bare = { repoURL: some.url, targetRevision: "main" };
  const web = (file: string) => ({ ...some.from("web"), helm: { valueFiles: [file] } });
  const elsewhere = await repository("elsewhere", { "a/a.yaml": configMap("a") });
  const project = {
    apiVersion: "argoproj.io/v1alpha1",
    kind: "AppProject",
    metadata: { name: "narrow", namespace: "argocd" },
    spec: { sourceRepos: [some.url], destinations: [{ server: "*", namespace: "*" }] },
  };
  const path = "/apis/argoproj.io/v1alpha1/namespaces/argocd/appprojects";
  await world.client.request({ method: "POST", path, body: JSON.stringify(project) });
  const bad: [string, Source[], string][] = [
    [
      "nothing",
      [some.from("a"), bare],
      "[SPEC_INVALID] a path in the repository is needed (`.` for its root), or a ref (spec.sources[1].path)",
    ],
    [
      "unknown",
      [web("$valuse/values.yaml"), { ...bare, ref: "values" }],
      "[SPEC_INVALID] no source has the ref valuse; there are $values (spec.sources[0].helm.valueFiles[0])",
    ],
    [
      "twice",
      [some.from("a", { ref: "x" }), { ...bare, ref: "x" }],
      "[SPEC_INVALID] x is not the only one (spec.sources[0].ref)",
    ],
    [
      "name",
      [some.from("a"), { ...bare, ref: "a b" }],
      "[SPEC_INVALID] a ref is of letters, digits, `-` and `_` (spec.sources[1].ref)",
    ],
    [
      "chart-ref",
      [some.from("a"), { ...bare, chart: "x", ref: "x" }],
      "[SPEC_INVALID] a chart cannot be referred to (spec.sources[1].ref)",
    ],
    ["only-refs", [{ ...bare, ref: "x" }], "[SPEC_INVALID] none of them has a path or a chart (spec.sources)"],
    [
      "two-revisions",
      [web("$values/values.yaml"), { ...bare, targetRevision: "other", ref: "values" }],
      "[SPEC_INVALID] sources[0]: the source with ref values is the same repository at another revision",
    ],
    [
      "no-path",
      [some.from("a"), some.from("nowhere")],
      '[PATH_NOT_FOUND] sources[1]: there is no directory "nowhere" at this revision',
    ],
  ];
  for (const [name, sources] of bad) await create(name, sources);
  bad.push([
    "narrow",
    [some.from("a"), elsewhere.from("a")],
    "[PROJECT_DENIED] AppProject narrow does not allow the repository of this Application (spec.sources[1].repoURL)",
  ]);
  await create("narrow", bad.at(-1)![1], { prune: true }, "narrow");
  await create("good", [web("$values/values.yaml"), { ...bare, ref: "values" }, some.from("a")]);
  for (const [name, , message] of bad) {
    const app = await world.applications.until(name, "its condition", ({ status }) =>
      Boolean(status?.conditions?.length),
    );
    expect(app.status?.conditions?.map((one) => one.message)).toContain(message);
    expect(app.status?.resources ?? []).toEqual([]);
  }
  await atRevisions("good", [sha, sha, sha]);
  expect(await data("good")).toEqual({ key: "red" });
});

test("a pointer of Git LFS and a submodule are told by name where they would be read, and nothing is applied", async () => {
  const { world } = use;
  const pointer = `version https://git-lfs.github.com/spec/v1\noid sha256:${"a".repeat(64)}\nsize 9\n`;
  const some = await repository("contentless", {
    "lfs/a.yaml": configMap("a"),
    "lfs/big.yaml": pointer,
    "recursing/a.yaml": configMap("a"),
    "overlay/kustomization.yaml": "resources: [../recursing/module]\n",
    "unread/a.yaml": configMap("a"),
    "unread/logo.png": pointer,
  });
  const clone = join(world.home, "contentless");
  const git = (...args: string[]) => run("git", ["-C", clone, "-c", "user.name=t", "-c", "user.email=t@t", ...args]);
  await run("git", ["clone", "-q", some.url, clone]);
  for (const folder of ["recursing", "unread"])
    await git("update-index", "--add", "--cacheinfo", `160000,${"b".repeat(40)},${folder}/module`);
  await git("commit", "-q", "-m", "submodules");
  expect(await git("push", "-q", "origin", "HEAD:main")).toMatchObject({ code: 0 });
  const recurse = { directory: { recurse: true } };
  const refused: [string, Source, string][] = [
    ["lfs", some.from("lfs"), "[RENDER_LFS_POINTER] lfs/big.yaml is a pointer of Git LFS, not the file itself."],
    ["recursing", some.from("recursing", recurse), "[RENDER_SUBMODULE] recursing/module is a submodule"],
    ["overlay", some.from("overlay"), "[RENDER_SUBMODULE] recursing/module is a submodule"],
    ["within", some.from("recursing/module/app"), "[RENDER_SUBMODULE]"],
  ];
  for (const [name, source] of refused) await world.applications.create({ name, repoURL: "", path: "", source });
  await world.applications.create({ name: "unread", repoURL: "", path: "", source: some.from("unread") });
  for (const [name, , message] of refused) {
    const app = await world.applications.until(name, "its condition", ({ status }) =>
      Boolean(status?.conditions?.length),
    );
    expect(app.status!.conditions![0]!.message).toContain(message);
    expect(app.status?.resources ?? []).toEqual([]);
  }
  await world.applications.synced("unread");
});
