// Plugins on real parts: workers on NATS, in another language than ours, render what is in Git.
import { execFile, spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { buildGo } from "@driftless/local/build";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { eventually, kubectl, push, run, useWorld } from "../harness/story.ts";

const use = useWorld({ settings: { "timeout.reconciliation": "0s" } });
let programs: string;
let folder: string;
const workers: ChildProcess[] = [];

beforeAll(async () => {
  const { binDir } = await buildGo({
    moduleDir: join(import.meta.dirname, "../../deploy/plugins"),
    outputs: [
      { pkg: "./example", name: "plugin-example" },
      { pkg: "./adapter", name: "plugin-adapter" },
    ],
    what: "the plugins' programs",
  });
  programs = binDir;
  folder = await mkdtemp(join(tmpdir(), "driftless-plugins-"));
  // The commands of a plugin may run as another account.
  await chmod(folder, 0o755);
}, 600_000);
afterAll(() => rm(folder, { recursive: true, force: true }));
afterEach(async () => {
  for (const worker of workers.splice(0)) await end(worker);
});

function startWorker(): ChildProcess {
  const env = { NATS_URL: use.world.local.natsUrl! };
  const worker = spawn(join(programs, "plugin-example"), { env, stdio: ["ignore", "inherit", "inherit"] });
  workers.push(worker);
  return worker;
}

/** Serves declarations `name: shell script`; answers when it listens. */
async function startAdapter(
  name: string,
  scripts: Record<string, string>,
  discover?: Record<string, unknown>,
): Promise<{ workDir: string; worker: ChildProcess }> {
  const declarations = join(folder, name);
  const workDir = join(folder, `${name}-work`);
  await Promise.all([declarations, workDir].map((directory) => mkdir(directory, { recursive: true })));
  for (const [plugin, script] of Object.entries(scripts)) {
    const spec = {
      version: "v1",
      init: { command: ["sh", "-c", "echo $((1+1)) > init.txt"] },
      generate: { command: ["sh", "-c"], args: [script] },
      discover,
    };
    const declaration = {
      apiVersion: "argoproj.io/v1alpha1",
      kind: "ConfigManagementPlugin",
      metadata: { name: plugin },
      spec,
    };
    await writeFile(join(declarations, `${plugin}.yaml`), JSON.stringify(declaration));
  }
  const flags = [`--nats=${use.world.local.natsUrl}`, `--work-dir=${workDir}`, "--parallel=4", declarations];
  const worker = spawn(join(programs, "plugin-adapter"), flags, { stdio: ["ignore", "inherit", "pipe"] });
  workers.push(worker);
  await once(worker.stderr!, "data");
  worker.stderr!.pipe(process.stderr);
  return { workDir, worker };
}

async function end(worker: ChildProcess): Promise<void> {
  if (worker.exitCode !== null || worker.signalCode !== null) return;
  worker.kill("SIGKILL");
  await once(worker, "exit");
}

const greeting = (namespace: string, name: string) =>
  kubectl(
    use.world,
    "get",
    "-n",
    namespace,
    "configmap",
    name,
    "--ignore-not-found",
    "-o",
    "jsonpath={.data.greeting}",
  );

async function commit(repository: string, url: string, files: Record<string, string>): Promise<string> {
  const sha = await use.world.git.commitFiles(repository, files, "change");
  await push(use.world, url);
  return sha;
}

const plugin = (name: string, more: Record<string, unknown> = {}) => ({ source: { plugin: { name, ...more } } });

test("nobody serves the plugin: the condition says so; a worker starts, and it heals by itself", async () => {
  const { world } = use;
  const { url, sha } = await world.git.createRepository("greetings", {
    "app/hello.greeting": "Hello\n",
    "other/x.greeting": "X\n",
  });
  const parameters = [{ name: "punctuation", string: "!" }];
  await world.applications.create({
    name: "greetings",
    repoURL: url,
    path: "app",
    ...plugin("greetings", { parameters }),
  });
  const waiting = await world.applications.condition("greetings", "PLUGIN_UNAVAILABLE");
  expect(waiting.status?.conditions?.[0]?.message).toContain("driftless.v1.plugin.greetings");

  startWorker();
  const app = await world.applications.synced("greetings", sha, 120_000);
  expect((app.status as { sourceType?: string }).sourceType).toBe("Plugin");
  expect(await greeting("greetings", "hello")).toBe("Hello!");

  await commit("greetings", url, { "app/bye.greeting": "Bye\n" });
  await eventually("the new file's object", async () => (await greeting("greetings", "bye")) === "Bye!");

  await world.applications.patch("greetings", {
    spec: { source: { plugin: { parameters: [{ name: "punctuation", string: "?" }] } } },
  });
  await eventually("the new parameter", async () => (await greeting("greetings", "bye")) === "Bye?");

  await commit("greetings", url, { "app/bye.greeting": "\n" });
  const failed = await world.applications.condition("greetings", "PLUGIN_FAILED");
  expect(failed.status?.conditions?.[0]?.message).toContain("app/bye.greeting greets nobody");
  expect(await greeting("greetings", "bye")).toBe("Bye?");
  const mended = await commit("greetings", url, { "app/bye.greeting": "Ciao\n" });
  await world.applications.synced("greetings", mended);
  expect(await greeting("greetings", "bye")).toBe("Ciao?");
});

test("another type beside the plugin is refused", async () => {
  const { world } = use;
  const { url } = await world.git.createRepository("two-types", { "app/a.greeting": "A\n" });
  await world.applications.create({
    name: "two-types",
    repoURL: url,
    path: "app",
    source: { plugin: { name: "greetings" }, helm: { releaseName: "x" } },
  });
  const app = await world.applications.condition("two-types", "SPEC_INVALID");
  expect(app.status?.conditions?.[0]?.message).toContain("Helm, Plugin");
});

test("the adapter's own tests pass: what a sandboxed command can and cannot do", async () => {
  const { stdout } = await promisify(execFile)("go", ["test", "./..."], {
    cwd: join(import.meta.dirname, "../../deploy/plugins"),
  }).catch((error: { stdout: string; stderr: string }) => ({ stdout: `${error.stdout}${error.stderr}` }));
  expect(stdout).toMatch(/^ok\s+\S+adapter/m);
}, 600_000);

const CONFIG_MAP = [
  "for file in *.txt; do",
  'printf -- "---\\napiVersion: v1\\nkind: ConfigMap\\nmetadata: {name: %s}\\ndata: {greeting: \\"%s %s %s %s\\"}\\n"',
  '"${file%.txt}" "$(cat $file)" "$ARGOCD_APP_NAME" "$ARGOCD_ENV_TONE" "$PARAM_COLOURS_1"; done',
].join(" ");

test("a ConfigManagementPlugin of Argo CD renders with its environment and parameters, and a push renders it again", async () => {
  const { world } = use;
  await startAdapter("good", { shell: CONFIG_MAP });
  const { url, sha } = await world.git.createRepository("shell", { "app/a.txt": "one\n", "b/b.txt": "x\n" });
  const source = {
    env: [{ name: "TONE", value: "$ARGOCD_APP_NAMESPACE" }],
    parameters: [{ name: "colours", array: ["red", "blue"] }],
  };
  await world.applications.create({ name: "shell", repoURL: url, path: "app", ...plugin("shell-v1", source) });
  await world.applications.synced("shell", sha);
  expect(await greeting("shell", "a")).toBe("one shell shell blue");
  // Init ran before, in the same directory.
  expect(await greeting("shell", "init")).toBe("2 shell shell blue");
  await commit("shell", url, { "app/a.txt": "two\n" });
  await eventually("the push", async () => (await greeting("shell", "a")) === "two shell shell blue");
});

test("manifest-generate-paths gives a plugin files of elsewhere, and their pushes count", async () => {
  const { world } = use;
  await startAdapter("wide", { wide: `cp ../b/*.txt . && ${CONFIG_MAP}` });
  const { url, sha } = await world.git.createRepository("wide", { "app/a.txt": "one\n", "b/b.txt": "x\n" });
  const annotations = { "argocd.argoproj.io/manifest-generate-paths": ".;/b/*.txt" };
  await world.applications.create({ name: "wide", repoURL: url, path: "app", annotations, ...plugin("wide") });
  await world.applications.synced("wide", sha);
  await commit("wide", url, { "b/b.txt": "y\n" });
  await eventually("the push beside", async () => (await greeting("wide", "b")).startsWith("y wide"));
});

test("a plugin that fails, hangs, floods or reaches out of its directory costs its own app only, and says why", async () => {
  const { world } = use;
  const outside = join(folder, "outside");
  await mkdir(outside);
  await chmod(outside, 0o777);
  const { workDir } = await startAdapter("bad", {
    fails: "echo 'app/x.txt: no such thing; password=hunter2' >&2; exit 3",
    hangs: "setsid sleep 3456 & sleep 3456",
    floods: "while :; do echo yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy; done",
    writes: `echo x > ${outside}/x && exit 0`,
    garbage: "echo 'kind: [unclosed'",
    shell: CONFIG_MAP,
  });
  const expected = {
    fails: "PLUGIN_FAILED",
    hangs: "RENDER_LIMIT",
    floods: "RENDER_LIMIT",
    writes: "PLUGIN_FAILED",
    garbage: "MANIFEST_INVALID",
  };
  const { url, sha } = await world.git.createRepository("bad", { "app/x.txt": "x\n" });
  for (const name of Object.keys(expected)) {
    await world.applications.create({ name, repoURL: url, path: "app", ...plugin(name) });
  }
  await world.applications.create({ name: "beside", repoURL: url, path: "app", ...plugin("shell") });
  await world.applications.synced("beside", sha);
  const messages: Record<string, string> = {};
  for (const [name, code] of Object.entries(expected)) {
    const app = await world.applications.condition(name, code, 60_000);
    messages[name] = app.status?.conditions?.[0]?.message ?? "";
    expect(await kubectl(world, "get", "namespace", name, "--ignore-not-found")).toBe("");
  }
  expect(messages["fails"]).toMatch(/app\/x\.txt: no such thing/);
  expect(messages["fails"]).not.toContain("hunter2");
  expect(messages["floods"]).toContain("bytes");
  expect(await readdir(outside)).toEqual([]);
  await eventually("nothing is left of the jobs", async () => (await readdir(workDir)).length === 0);
});

test("a worker that is killed during a job loses nothing: another one does it", async () => {
  const { world } = use;
  const slow = await startAdapter("slow", { shared: "sleep 3457" });
  const { url, sha } = await world.git.createRepository("shared", { "app/a.txt": "one\n" });
  await world.applications.create({ name: "shared", repoURL: url, path: "app", ...plugin("shared") });
  await eventually("the job is taken", async () => (await readdir(slow.workDir)).length > 0);
  await startAdapter("quick", { shared: CONFIG_MAP });
  await end(slow.worker);
  await world.applications.synced("shared", sha, 110_000);
  expect(await greeting("shared", "a")).toContain("one shared");
});

test("a source is found to be a plugin's by its files, and stays so while no worker is there", async () => {
  const { world } = use;
  const { url, sha } = await world.git.createRepository("found", {
    "app/deep/x.found": "x\n",
    "app/a.txt": "one\n",
    "plain/cm.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: plain}\ndata: {greeting: plain}\n",
  });
  const { worker } = await startAdapter("found", { found: CONFIG_MAP }, { find: { glob: "**/*.found" } });
  const bucket = [`--server=${world.local.natsUrl}`, "kv", "get", "PLUGINS", "found-v1", "--raw"];
  await eventually("the plugin is declared", async () =>
    (await run(join(world.local.binDir, "nats"), bucket)).stdout.includes("found-v1"),
  );
  await world.applications.create({ name: "found", repoURL: url, path: "app" });
  await world.applications.create({ name: "plain", repoURL: url, path: "plain" });
  await world.applications.synced("found", sha);
  await world.applications.synced("plain", sha);
  expect(await greeting("found", "a")).toContain("one found");
  expect(await greeting("plain", "plain")).toBe("plain");

  await end(worker);
  await commit("found", url, { "app/a.txt": "two\n" });
  await world.applications.condition("found", "PLUGIN_UNAVAILABLE");
  // Not even when nobody knows of the plugin any more.
  await run(join(world.local.binDir, "nats"), [
    `--server=${world.local.natsUrl}`,
    "kv",
    "del",
    "PLUGINS",
    "found-v1",
    "--force",
  ]);
  await world.applications.patch("found", { metadata: { annotations: { "argocd.argoproj.io/refresh": "hard" } } });
  const app = await world.applications.until(
    "found",
    "the hard refresh is over",
    (one) => !one.metadata.annotations?.["argocd.argoproj.io/refresh"],
  );
  expect(app.status?.conditions?.[0]?.message).toContain("No declared plugin claims");
  expect(await greeting("found", "a")).toContain("one found");

  await startAdapter("found", { found: CONFIG_MAP }, { find: { glob: "**/*.found" } });
  await eventually("it heals", async () => (await greeting("found", "a")).includes("two found"), 110_000);
});
