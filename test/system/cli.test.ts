// The driftless command as people use it: from nothing, up, about Applications, and down to nothing again. The tests are
// one story and run in order.
import { spawn, type ChildProcess } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readLock } from "@driftless/local/lock";
import { isFree } from "@driftless/local/ports";
import { isAlive, type ProcessIdentity } from "@driftless/local/process-identity";
import { systemClock } from "@driftless/process/clock";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Applications } from "../harness/applications.ts";
import { eventually, run, type Ran } from "../harness/story.ts";
import { kubeClient } from "../harness/world.ts";

const root = join(import.meta.dirname, "../..");
const bin = join(root, "packages/cli/bin/driftless.mjs");
const ambient = { KUBECONFIG: "/nonexistent/ambient-kubeconfig-must-not-be-read" };

let folder: string;
let home: string;
const children: ChildProcess[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "driftless-cli-"));
  home = join(folder, "home");
});
afterAll(async () => {
  for (const child of children) child.kill("SIGKILL");
  await driftless("down");
  await rm(folder, { recursive: true, force: true, maxRetries: 3 });
}, 120_000);

const driftless = (...args: string[]): Promise<Ran> => driftlessIn(home, ...args);
const driftlessIn = (directory: string, ...args: string[]): Promise<Ran> =>
  run(bin, args, { ...ambient, DRIFTLESS_HOME: directory }, 900_000);

/** In a shell that has evaluated `driftless env`, as the help tells people to. */
const inShell = (command: string): Promise<Ran> =>
  run("sh", ["-ec", `eval "$('${bin}' env)"; ${command}`], { ...ambient, DRIFTLESS_HOME: home });

interface App {
  metadata: { name: string };
  status: {
    sync: { status: string };
    operationState?: { phase: string; operation: { initiatedBy?: { username?: string } } };
  };
}
const json = <T>(ran: Ran): T => {
  if (ran.stdout === "") throw new Error(`no output: ${ran.stderr}`);
  return JSON.parse(ran.stdout) as T;
};

async function ownProcesses(): Promise<ProcessIdentity[]> {
  const lock = await readLock<{ parts: ProcessIdentity[] }>(join(home, "running.json"));
  return [lock!.holder, ...lock!.note!.parts];
}

interface Spawned {
  child: ChildProcess;
  text(): string;
  exit: Promise<number | null>;
}

const spawned = (...args: string[]): Spawned => spawnedWith({}, ...args);
function spawnedWith(env: Record<string, string>, ...args: string[]): Spawned {
  const child = spawn(bin, args, {
    env: { ...process.env, ...ambient, DRIFTLESS_HOME: home, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  children.push(child);
  let text = "";
  child.stdout.on("data", (chunk: Buffer) => (text += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (text += chunk.toString()));
  return { child, text: () => text, exit: new Promise((resolve) => child.once("exit", resolve)) };
}

describe("while nothing runs", () => {
  test.each([[["status"]], [["env"]], [["app", "list"]], [["watch"]]])(
    "%j is 1 and says how to start",
    async (args) => {
      const ran = await driftless(...args);
      expect(ran.code).toBe(1);
      expect(ran.stdout + ran.stderr).toMatch(/not running/);
    },
  );

  test("down is no failure, and makes no folder", async () => {
    expect((await driftless("down")).code).toBe(0);
    expect(existsSync(home)).toBe(false);
  });

  test.each([
    [["bogus"]],
    [["app", "get"]],
    [["app", "get", "No/Such/Name"]],
    [["app", "list", "-o", "yaml"]],
    [["app", "list", "--kubeconfig", "/nonexistent"]],
    [["app", "wait", "guestbook", "--timeout", "soon"]],
    [["start", "some.yaml"]],
    [["up", "some.yaml"]],
    [["up", "--observe"]],
  ])("%j is wrong usage: 2, and nothing is started", async (args) => {
    const ran = await driftless(...args);
    expect(ran.code).toBe(2);
    expect(ran.stderr).not.toMatch(/\n\s+at /);
    expect(existsSync(home)).toBe(false);
  });

  test("--version is the clone's", async () => {
    expect((await driftless("--version")).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });

  test("a kubeconfig that is not there is named once", async () => {
    const { stderr } = await driftless("app", "list", "--kubeconfig", "/nonexistent");
    expect(stderr).toBe("driftless: the kubeconfig /nonexistent cannot be read: ENOENT\n");
  });

  test("the help names the exit codes", async () => {
    const ran = await driftless("--help");
    expect(ran.code).toBe(0);
    expect(ran.stdout).toContain("Exit codes: 0 done; 1 failed");
  });

  test("an older node in the PATH hands over to the one of the clone", async () => {
    const path = process.env.PATH!.split(":").filter((part) => !part.includes("node_modules"));
    const ran = await run("sh", ["-c", `node '${bin}' --help`], { DRIFTLESS_HOME: home, PATH: path.join(":") });
    expect(ran.code).toBe(0);
    expect(ran.stdout).toContain("Usage: driftless");
  });
});

describe("up", () => {
  test("returns when everything is ready, with an example Application", async () => {
    const ran = await driftless("up", "-o", "json");
    expect(ran.stderr).not.toContain("driftless:");
    expect(ran.code).toBe(0);
    expect(json(ran)).toMatchObject({ phase: "ready", namespace: "argocd", kubeconfig: join(home, "kubeconfig") });
    const status = await driftless("status", "-o", "json");
    expect(status.code).toBe(0);
    expect(json(status)).toMatchObject({ running: true, ready: true });
  }, 900_000);

  test("is refused a second time", async () => {
    const ran = await driftless("up");
    expect(ran.code).toBe(1);
    expect(ran.stderr).toContain("running here already");
  });

  test("env gives a shell kubectl and nats for exactly these parts", async () => {
    const kubectl = await inShell("kubectl --namespace argocd get applications --output name");
    expect(kubectl.stdout.trim()).toBe("application.argoproj.io/guestbook");
    const nats = await inShell("nats stream ls --names");
    expect(nats.stdout).toContain("APP_TRANSITIONS");
  });
});

describe("app", () => {
  test("wait returns once the example is Synced, Healthy and left alone", async () => {
    const ran = await driftless("app", "wait", "guestbook", "--timeout", "60s");
    expect(ran.stderr).toBe("");
    expect(ran.code).toBe(0);
    expect(ran.stdout).toMatch(/guestbook\s+Synced\s+Healthy\s+[0-9a-f]{7}/);
  });

  test("list and get show it, for people, for scripts, and by name", async () => {
    expect((await driftless("app", "list")).stdout).toMatch(/NAME .*\nguestbook\s+Synced\s+Healthy/);
    expect((await driftless("app", "list", "-o", "wide")).stdout).toMatch(
      /DESTINATION[^]*kubernetes\.default\.svc\/guestbook/,
    );
    expect((await driftless("app", "list", "-o", "name")).stdout).toBe("guestbook\n");
    const [app] = json<App[]>(await driftless("app", "list", "-o", "json"));
    expect(app).toMatchObject({ metadata: { name: "guestbook" }, status: { sync: { status: "Synced" } } });
    expect(json<App>(await driftless("app", "get", "guestbook", "-o", "json")).metadata.name).toBe("guestbook");
    const shown = (await driftless("app", "get", "argocd/guestbook")).stdout;
    expect(shown).toMatch(/Deployment\s+guestbook\s+guestbook\s+Synced/);
    expect(shown).toMatch(/Operation:\s+Succeeded/);
  });

  test("refresh and refresh --hard come back with what was found", async () => {
    for (const args of [[], ["--hard"]]) {
      const ran = await driftless("app", "refresh", "guestbook", ...args);
      expect(ran.code).toBe(0);
      expect(ran.stdout).toContain("Synced");
    }
  });

  test("a refresh asked for at the very moment when the status is written is answered too", async () => {
    // The write of the first one's outcome conflicts with the second one, at one of these delays.
    const client = await kubeClient(join(home, "kubeconfig"));
    const applications = new Applications(client);
    const annotate = (mode: string) =>
      applications.patch("guestbook", { metadata: { annotations: { "argocd.argoproj.io/refresh": mode } } });
    try {
      for (let delayMs = 0; delayMs < 60; delayMs += 2) {
        await annotate("normal");
        await systemClock.sleep(delayMs);
        await annotate("hard");
        await applications.until(
          "guestbook",
          `the refresh ${delayMs} ms after another is answered`,
          (app) => app.metadata.annotations?.["argocd.argoproj.io/refresh"] === undefined,
          10_000,
        );
      }
    } finally {
      await client.close();
    }
  });

  test("diff is 0 without and 1 with differences, which it names; sync makes them go", async () => {
    expect((await driftless("app", "diff", "guestbook")).code).toBe(0);
    const off = JSON.stringify({ spec: { syncPolicy: { automated: null } } });
    await inShell(`kubectl -n argocd patch application guestbook --type merge -p '${off}'`);
    await inShell("kubectl -n guestbook scale deployment/guestbook --replicas=5");
    const differs = await eventually("the drift is told", async () => {
      const ran = await driftless("app", "diff", "guestbook");
      return ran.code === 1 && ran;
    });
    expect(differs.stdout).toContain("spec.replicas: 5 → 3");
    const inJson = await driftless("app", "diff", "guestbook", "-o", "json");
    expect(json(inJson)).toMatchObject({ sync: "OutOfSync", resources: [{ kind: "Deployment", name: "guestbook" }] });
    const impatient = await driftless("app", "wait", "guestbook", "--sync", "--timeout", "1s");
    expect(impatient.code).toBe(1);

    const synced = await driftless("app", "sync", "guestbook");
    expect(synced.stdout).toMatch(/guestbook\s+Succeeded/);
    expect(synced.code).toBe(0);
    const replicas = await inShell("kubectl -n guestbook get deployment guestbook -o jsonpath={.spec.replicas}");
    expect(replicas.stdout).toBe("3");
    const app = json<App>(await driftless("app", "get", "guestbook", "-o", "json"));
    expect(app.status.operationState!.operation.initiatedBy!.username).toBeTruthy();
    expect((await driftless("app", "diff", "guestbook")).code).toBe(0);
  });

  test("a sync that fails is 1 with the reason", async () => {
    const ran = await driftless("app", "sync", "guestbook", "--revision", "no-such-branch", "--timeout", "60s");
    expect(ran.code).toBe(1);
    expect(ran.stdout + ran.stderr).toContain("REVISION_NOT_FOUND");
  });

  test("an Application that is not there is 1 with its name", async () => {
    for (const args of [["get"], ["sync"], ["refresh"], ["wait"]]) {
      const ran = await driftless("app", ...args, "no-such-app");
      expect(ran.code).toBe(1);
      expect(ran.stderr).toContain("no-such-app");
    }
    expect((await driftless("app", "diff", "no-such-app")).code).toBe(2);
  });
});

test("watch tells what was and what happens, with cause and times, until it is interrupted", async () => {
  const watching = spawned("watch", "guestbook", "--since", "1h", "-o", "json");
  const transitions = () =>
    watching
      .text()
      .split("\n")
      .filter((line) => line.endsWith("}"))
      .map((line) => JSON.parse(line) as { to: string; causes: unknown[]; timings: { totalMs: number } });
  await eventually("the past is told", () => transitions().some((t) => t.to === "Synced"));
  const before = transitions().length;
  await inShell("kubectl -n guestbook scale deployment/guestbook --replicas=4");
  const drift = await eventually("the drift is told", () =>
    transitions()
      .slice(before)
      .find((t) => t.to === "OutOfSync"),
  );
  expect(drift.causes.length).toBeGreaterThan(0);
  expect(transitions().find((t) => t.to === "Synced")!.timings.totalMs).toBeGreaterThan(0);
  watching.child.kill("SIGINT");
  expect(await watching.exit).toBe(0);
});

test("a services process that is killed is started again", async () => {
  const pidOf = async () =>
    (JSON.parse(await readFile(join(home, "driftless.json"), "utf8")) as { services: { pid?: number } }).services.pid;
  const before = await pidOf();
  process.kill(before!, "SIGKILL");
  await eventually("another one is ready", async () => {
    const pid = await pidOf();
    return pid !== undefined && pid !== before && (await driftless("status")).code === 0;
  });
  expect((await driftless("app", "refresh", "guestbook")).code).toBe(0);
});

test("a nats-server that is killed comes back with its data, and Applications sync on", async () => {
  const natsPid = async () => {
    const lock = await readLock<{ parts: (ProcessIdentity & { name: string })[] }>(join(home, "running.json"));
    return lock!.note!.parts.find((part) => part.name === "nats-server")?.pid;
  };
  const before = await natsPid();
  process.kill(before!, "SIGKILL");
  await eventually("another one is running", async () => {
    const pid = await natsPid();
    return pid !== undefined && pid !== before && (await driftless("status")).code === 0;
  });
  const synced = await driftless("app", "sync", "guestbook");
  expect(synced.stdout).toMatch(/guestbook\s+Succeeded/);
});

test("a repository of one's own is made by the first push, and an Application deploys it", async () => {
  const mine = join(folder, "mine");
  const identity = "-c user.name=me -c user.email=me@driftless.invalid";
  const manifest = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "mine" }, data: { a: "1" } };
  const application = {
    apiVersion: "argoproj.io/v1alpha1",
    kind: "Application",
    metadata: { name: "mine", namespace: "argocd" },
    spec: {
      project: "default",
      source: { repoURL: "$GIT_URL/mine.git", path: "." },
      destination: { server: "https://kubernetes.default.svc", namespace: "mine" },
      syncPolicy: { automated: {}, syncOptions: ["CreateNamespace=true"] },
    },
  };
  const pushed = await inShell(
    `git init --quiet --initial-branch=trunk '${mine}'; cd '${mine}'; echo '${JSON.stringify(manifest)}' > mine.yaml
    git add .; git ${identity} commit --quiet -m first; git push --quiet "$GIT_URL/mine.git" HEAD
    kubectl apply -f - <<EOF\n${JSON.stringify(application)}\nEOF`,
  );
  expect(pushed.stderr).toBe("");
  expect((await driftless("app", "wait", "mine", "--timeout", "60s")).code).toBe(0);
});

test("webhook deliveries says of each push who follows it, who looks again, and why when nobody does", async () => {
  const { apiUrl, gitUrl } = JSON.parse(await readFile(join(home, "driftless.json"), "utf8")) as Record<string, string>;
  const tell = async (body: object): Promise<string> => {
    const headers = { "content-type": "application/json" };
    const answer = await fetch(`${apiUrl}/api/webhook`, { method: "POST", headers, body: JSON.stringify(body) });
    return ((await answer.json()) as { delivery: string }).delivery;
  };
  interface Delivery {
    delivery?: string;
    outcome: string;
    why: string;
    nearest: string[];
    revisions: { woken: string[]; others: string[] }[];
  }
  const until = (delivery: string) =>
    eventually("the delivery is told", async () => {
      const ran = await driftless("webhook", "deliveries", "-o", "json");
      return json<{ deliveries: Delivery[] }>(ran).deliveries.find((one) => one.delivery === delivery);
    });
  const mine = { repoURL: `${gitUrl}/mine.git`, ref: "refs/heads/trunk" };
  expect(await until(await tell(mine))).toMatchObject({ outcome: "known", revisions: [{ others: ["argocd/mine"] }] });
  const other = await until(await tell({ ...mine, ref: "refs/heads/topic" }));
  expect(other).toMatchObject({ outcome: "ref-not-followed", why: "no Application follows topic; followed: HEAD (1)" });
  const elsewhere = await until(await tell({ repoURL: "https://git.example/team/mine" }));
  expect(elsewhere).toMatchObject({ outcome: "repository-not-followed", nearest: [mine.repoURL] });
  const shown = await driftless("webhook", "deliveries", "--limit", "1");
  expect(shown.stdout).toContain("no Application has a source in git.example/team/mine");
  // The local Git server tells its own pushes.
  const identity = "-c user.name=me -c user.email=me@driftless.invalid";
  const pushed = `cd '${join(folder, "mine")}'; sed -i 's/"1"/"2"/' mine.yaml; git ${identity} commit --quiet -am second`;
  await inShell(`${pushed}; git push --quiet "$GIT_URL/mine.git" HEAD`);
  await eventually("the push is told", async () => {
    const { stdout } = await driftless("webhook", "deliveries");
    return /woken .*mine\.git.*\n.*1 of 1 source .*\n.*woken argocd\/mine/.test(stdout);
  });
});

describe("operations", () => {
  const value = async () => (await inShell("kubectl -n mine get configmap mine -o jsonpath={.data.a}")).stdout;
  const commit = (change: string) =>
    inShell(
      `cd '${join(folder, "mine")}'; ${change}; git add .; git -c user.name=me -c user.email=me@driftless.invalid \
      commit --quiet -m change; git push --quiet "$GIT_URL/mine.git" HEAD`,
    );

  test("rollback goes back to what history names, and an automated app stays there", async () => {
    const history = json<{ id: number; revision: string }[]>(await driftless("app", "history", "mine", "-o", "json"));
    expect(history.length).toBeGreaterThanOrEqual(2);
    expect(await value()).toBe("2");
    const ran = await driftless("app", "rollback", "mine", String(history[1]!.id));
    expect(ran.code).toBe(0);
    expect(ran.stderr).toContain("it stays there until ");
    expect(await value()).toBe("1");
    expect((await driftless("app", "rollback", "mine", "99")).stderr).toContain("no entry 99 in its history");
  });

  test("manifests are what Git renders to and what the cluster has; a dry run of one object changes nothing", async () => {
    await driftless("app", "refresh", "mine");
    expect((await driftless("app", "manifests", "mine")).stdout).toMatch(/kind: ConfigMap[^]*a: "2"/);
    expect((await driftless("app", "manifests", "mine", "--source", "live")).stdout).toContain('a: "1"');
    const ran = await driftless("app", "sync", "mine", "--dry-run", "--resource", ":ConfigMap:mine");
    expect(ran.stdout).toMatch(/ConfigMap .*configured \(dry run\)/);
    expect(await value()).toBe("1");
  });

  test("resources show as a table, and as a tree with what controllers made of them", async () => {
    const table = await driftless("app", "resources", "guestbook");
    expect(table.stdout).toMatch(/Deployment +guestbook +guestbook +Synced +Healthy/);
    const tree = await driftless("app", "resources", "guestbook", "--tree");
    expect(tree.stdout).toMatch(/Deployment\/guestbook \(guestbook\) .*\n[├└]─ ReplicaSet\/.*\n.*─ Pod\//);
  });

  test("sync shows phase and what is waited for; terminate ends it", async () => {
    const annotations = { "argocd.argoproj.io/hook": "PreSync" };
    const containers = [{ name: "c", image: "registry.example.com/job:1" }];
    const template = { spec: { restartPolicy: "Never", nodeSelector: { nowhere: "really" }, containers } };
    const hook = { apiVersion: "batch/v1", kind: "Job", metadata: { name: "before", annotations }, spec: { template } };
    await commit(`echo '${JSON.stringify(hook)}' > hook.yaml`);
    const syncing = spawned("app", "sync", "mine");
    await eventually("the hook is waited for", () =>
      /PreSync:\n {2}Job\/before[^]*waiting for completion of hook batch\/Job\/before/.test(syncing.text()),
    );
    const ended = await driftless("app", "terminate", "mine");
    expect(ended.stdout).toContain("Operation terminated");
    expect(await syncing.exit).toBe(1);
    expect((await driftless("app", "terminate", "mine")).stderr).toContain("no operation is in progress");
  });

  test("delete shows what would go, asks, and waits until it is gone", async () => {
    const unasked = await driftless("app", "delete", "mine");
    expect(unasked.code).toBe(2);
    expect(unasked.stderr).toMatch(/and with it:\n {2}ConfigMap\/mine[^]*say --yes/);
    expect(await value()).toBe("1");
    const ran = await driftless("app", "delete", "mine", "--yes");
    expect(ran.stderr + ran.stdout).toContain("mine is deleted with its objects");
    expect(ran.code).toBe(0);
    expect(await value()).toBe("");
  });
});

test("what is not there is named: by its labels, or at once by watch, which goes on waiting", async () => {
  expect((await driftless("app", "list", "-l", "env=prod")).stderr).toContain("with labels env=prod");
  const watching = spawned("watch", "nope");
  await eventually("it is said", () => watching.text().includes("no Application nope in namespace argocd"));
  expect(watching.child.exitCode).toBe(null);
  watching.child.kill("SIGINT");
  expect(await watching.exit).toBe(0);
});

describe("a cluster of the user's own", () => {
  test("is not touched while Argo CD's application controller runs in it, but may be observed", async () => {
    const labels = { "app.kubernetes.io/name": "argocd-application-controller" };
    const template = { metadata: { labels }, spec: { containers: [{ name: "c", image: "argocd" }] } };
    const argo = {
      apiVersion: "apps/v1",
      kind: "StatefulSet",
      metadata: { name: "argocd-application-controller", namespace: "default", labels },
      spec: { replicas: 1, serviceName: "x", selector: { matchLabels: labels }, template },
    };
    await inShell(`echo '${JSON.stringify(argo)}' | kubectl create -f -`);
    const second = join(folder, "second");
    const ran = await driftlessIn(second, "up", "--kubeconfig", join(home, "kubeconfig"));
    expect(ran.code).toBe(1);
    expect(ran.stderr).toContain("Argo CD's application controller is running in this cluster: ");
    expect((await driftlessIn(second, "status")).code).toBe(1);

    const observing = await driftlessIn(second, "up", "--observe", "--kubeconfig", join(home, "kubeconfig"));
    expect(observing.code).toBe(0);
    expect(observing.stderr).toContain("writes to no cluster");
    // The other Driftless of this test stands for Argo CD.
    const judged = await eventually("it is compared", async () => {
      const seen = await driftlessIn(second, "observe", "guestbook", "-o", "json");
      return seen.code !== 2 && json<{ ours: { sync: string }; agrees: boolean }>(seen);
    });
    expect(judged).toMatchObject({ agrees: true, ours: { sync: "Synced" } });
    await driftlessIn(second, "down");
    await inShell("kubectl -n default delete statefulset argocd-application-controller --wait=false");
  });
});

test("down ends every process, frees every port and leaves no file; again it is no failure", async () => {
  const processes = await ownProcesses();
  expect(processes.length).toBeGreaterThan(5);
  // One damaged record does not hide what runs.
  await writeFile(join(home, "running.json"), "{");
  expect((await driftless("status")).code).toBe(0);
  const record = JSON.parse(await readFile(join(home, "driftless.json"), "utf8")) as Record<string, string>;
  const ports = [record.natsUrl, record.apiUrl, record.gitUrl].map((url) => Number(new URL(url!).port));
  expect((await driftless("down")).code).toBe(0);
  expect(processes.filter(isAlive)).toEqual([]);
  for (const port of ports) expect(await isFree(port)).toBe(true);
  expect(existsSync(home)).toBe(false);
  expect((await driftless("down")).code).toBe(0);
}, 60_000);

test("start shows transitions live and serves DRIFTLESS_PLUGINS, and Ctrl-C leaves no process and no port", async () => {
  const plugins = join(folder, "plugins");
  await mkdir(plugins);
  const generate = { command: ["true"] };
  const declaration = { kind: "ConfigManagementPlugin", metadata: { name: "nothing" }, spec: { generate } };
  await writeFile(join(plugins, "nothing.yaml"), JSON.stringify(declaration));
  const started = spawnedWith({ DRIFTLESS_PLUGINS: plugins }, "start");
  await eventually("ready", () => started.text().includes("Driftless is ready"), 120_000);
  await eventually("the first deployment is told", () => /guestbook {2}.*→ Synced/.test(started.text()), 60_000);
  expect(started.text()).toMatch(/because /);
  expect(started.text()).toMatch(/fetch [\d.]+ ms · render [\d.]+ ms/);
  const processes = await ownProcesses();
  expect(processes).toContainEqual(expect.objectContaining({ name: "plugins" }));
  expect(await readFile(join(home, "logs/plugins.log"), "utf8")).toContain("serving nothing");
  started.child.kill("SIGINT");
  expect(await started.exit).toBe(0);
  expect(processes.filter(isAlive)).toEqual([]);
  expect(started.text()).toContain("Everything has ended");
}, 240_000);
