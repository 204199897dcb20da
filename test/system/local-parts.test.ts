// The local parts, for real: what runs in the cluster runs, two copies live side by side, and neither stop nor a
// kill -9 leaves anything behind.
import { execFile, spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, readdir, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import { startControlPlane } from "@driftless/local/control-plane";
import { startLocal, type Local, type LocalOptions } from "@driftless/local/local";
import { readLock } from "@driftless/local/lock";
import { startNats } from "@driftless/local/nats";
import { isFree } from "@driftless/local/ports";
import { identityOf, isAlive, type ProcessIdentity } from "@driftless/local/process-identity";
import { runningIn, statePaths } from "@driftless/local/state";
import { afterEach, beforeAll, beforeEach, expect, test, vi } from "vitest";
import { requirePrograms } from "@driftless/local/programs";

let folder: string;
const running: Local[] = [];
const supervisors: ChildProcess[] = [];

beforeAll(async () => {
  await requirePrograms();
});
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "driftless-local-"));
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await Promise.all(running.splice(0).map((local) => local.stop()));
  for (const supervisor of supervisors.splice(0)) supervisor.kill("SIGKILL");
  await rm(folder, { recursive: true, force: true, maxRetries: 5 });
});

const home = (name = "a") => path.join(folder, name);

async function start(options: LocalOptions): Promise<Local> {
  const local = await startLocal({ unsafeNoFsync: true, ...options });
  running.push(local);
  return local;
}

function kubectl(local: Local, ...args: string[]) {
  const command = promisify(execFile)(local.programs.kubectl, [`--kubeconfig=${local.kubeconfigPath}`, ...args]);
  return command.then(({ stdout }) => stdout.trim());
}

async function partsOf(stateHome: string): Promise<(ProcessIdentity & { name: string })[]> {
  const content = await readLock<{ parts: (ProcessIdentity & { name: string })[] }>(statePaths(stateHome).lock);
  return content?.note?.parts ?? [];
}

/** Every process that was started for this state directory: they all have its path in their arguments. */
async function processesNaming(text: string): Promise<string[]> {
  const found: string[] = [];
  for (const pid of (await readdir("/proc")).filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)) {
    const commandLine = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
    if (commandLine.includes(text)) found.push(`${pid} ${commandLine.replaceAll("\0", " ")}`);
  }
  return found;
}

const names = ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok", "nats-server"];

const workloads = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: "example.invalid/web:1"}]}
---
apiVersion: batch/v1
kind: Job
metadata: {name: once}
spec:
  template:
    spec:
      restartPolicy: Never
      containers: [{name: once, image: "example.invalid/once:1"}]
`;

test("a Deployment becomes available and a Job completes, and both are still there after stop and start", async () => {
  const first = await start({ home: home(), git: false });
  expect(await kubectl(first, "get", "nodes", "--no-headers")).toMatch(/^kwok-0\s+Ready/);
  const manifest = path.join(folder, "workloads.yaml");
  await writeFile(manifest, workloads);
  await kubectl(first, "apply", "-f", manifest);
  await kubectl(first, "wait", "--for=condition=Available", "deployment/web", "--timeout=60s");
  await kubectl(first, "wait", "--for=condition=Complete", "job/once", "--timeout=60s");
  expect((await stat(first.kubeconfigPath!)).mode & 0o077).toBe(0);
  expect(JSON.parse(await readFile(first.state.natsJson, "utf8"))).toMatchObject({ url: first.natsUrl });
  await first.stop();

  const second = await start({ home: home(), nats: false, git: false });
  expect(await kubectl(second, "get", "deployment/web", "-o", "jsonpath={.status.availableReplicas}")).toBe("2");
  await second.stop();

  const fresh = await start({ home: home(), nats: false, git: false, fresh: true });
  expect(await kubectl(fresh, "get", "deployments", "-o", "name")).toBe("");
});

test("two copies started at once run side by side, each with its own ports and its own data", async () => {
  const [a, b] = await Promise.all([start({ home: home("a") }), start({ home: home("b") })]);
  const portsOf = (local: Local) => [local.nats!.port, local.cluster!.port, local.git!.port];
  expect(new Set([...portsOf(a), ...portsOf(b)]).size).toBe(6);
  await kubectl(a, "create", "configmap", "only-in-a");
  expect(await kubectl(b, "get", "configmaps", "-o", "name")).not.toContain("only-in-a");
  await expect(startLocal({ home: home("a") })).rejects.toThrow(`is in use by process ${process.pid}`);
});

test("stop ends every process and frees every port", async () => {
  const local = await start({ home: home() });
  const ports = [local.nats!.port, Number(new URL(local.nats!.monitorUrl).port), local.cluster!.port, local.git!.port];
  const parts = await partsOf(home());
  expect(parts.map((part) => part.name).toSorted()).toEqual(names);
  await local.stop();
  expect(parts.filter(isAlive)).toEqual([]);
  expect(await processesNaming(folder)).toEqual([]);
  expect(await Promise.all(ports.map(isFree))).toEqual([true, true, true, true]);
  expect(await runningIn(home())).toBeUndefined();
  // These would lead to nowhere.
  const left = await readdir(home());
  expect(left.filter((name) => ["kubeconfig", "nats.json", "git.json", "running.json"].includes(name))).toEqual([]);
});

test("after a kill -9 of whoever started them, every part ends within seconds", async () => {
  const parts = await startElsewhere(home());
  supervisors[0]!.kill("SIGKILL");
  await vi.waitUntil(() => !parts.some(isAlive), { timeout: 8000, interval: 50 });
  await vi.waitUntil(async () => (await processesNaming(folder)).length === 0, { timeout: 2000, interval: 50 });
});

test("the next start does not wait for what a kill -9 left, and finds the data", async () => {
  const parts = await startElsewhere(home());
  const kubeconfig = statePaths(home()).kubeconfig;
  const { kubectl: program } = await requirePrograms();
  await promisify(execFile)(program, [`--kubeconfig=${kubeconfig}`, "create", "configmap", "kept"]);
  supervisors[0]!.kill("SIGKILL");
  await once(supervisors[0]!, "exit");
  const local = await start({ home: home() });
  expect(parts.filter(isAlive)).toEqual([]);
  expect(await kubectl(local, "get", "configmap/kept", "-o", "name")).toBe("configmap/kept");
});

test("a part that ends by itself is reported with its log file and last lines", async () => {
  const failures: Error[] = [];
  const local = await start({
    home: home(),
    cluster: false,
    git: false,
    onFailure: (failure) => failures.push(failure),
  });
  process.kill(local.nats!.pid, "SIGTERM");
  await vi.waitUntil(() => failures.length === 1, { timeout: 10_000 });
  expect(failures[0]!.message).toContain(path.join(home(), "logs", "nats-server.log"));
  expect(failures[0]!.message).toContain("Server Exiting");
});

test("nats-server and the control plane can be killed and come back on the same ports with their data", async () => {
  const local = await start({ home: home(), git: false });
  const [nats, cluster] = [local.nats!, local.cluster!];
  await kubectl(local, "create", "configmap", "kept");
  await Promise.all([nats.kill(), cluster.kill()]);
  const [natsAgain, clusterAgain] = await Promise.all([
    startNats(local.state, local.programs, { port: nats.port }),
    startControlPlane(local.state, local.programs, { port: cluster.port }),
  ]);
  local.replaceNats(natsAgain);
  local.replaceCluster(clusterAgain);
  expect([natsAgain.url, clusterAgain.server]).toEqual([nats.url, cluster.server]);
  expect(await kubectl(local, "get", "configmap/kept", "-o", "name")).toBe("configmap/kept");
});

test("with onRevival, nats-server and etcd come back by themselves on the same ports after a kill -9", async () => {
  const revivals: string[] = [];
  const failures: Error[] = [];
  const local = await start({
    home: home(),
    git: false,
    anyPorts: true,
    onRevival: (failure) => revivals.push(failure.part),
    onFailure: (failure) => failures.push(failure),
  });
  const [nats, cluster] = [local.nats!, local.cluster!];
  await kubectl(local, "create", "configmap", "kept");
  process.kill(nats.pid, "SIGKILL");
  await vi.waitUntil(() => local.nats !== nats, { timeout: 30_000, interval: 50 });
  expect(local.nats!.url).toBe(nats.url);
  process.kill(cluster.parts.find((part) => part.name === "etcd")!.pid, "SIGKILL");
  await vi.waitUntil(() => local.cluster !== cluster, { timeout: 60_000, interval: 50 });
  expect(await kubectl(local, "get", "configmap/kept", "-o", "name")).toBe("configmap/kept");
  expect(revivals).toEqual(["nats-server", "etcd"]);
  expect(failures).toEqual([]);
  // All of them are written down again, or a crash now would leave some.
  expect((await partsOf(home())).map((part) => part.name).toSorted()).toEqual(names);
});

test("a directory in use whose record is damaged is neither taken over nor overwritten", async () => {
  const local = await start({ home: home(), cluster: false, git: false });
  await writeFile(local.state.lock, "{");
  await expect(startLocal({ home: home(), cluster: false, git: false })).rejects.toThrow(`End process ${process.pid}`);
  expect(await readFile(local.state.lock, "utf8")).toBe("{");
  expect(isAlive(identityOf(local.nats!.pid))).toBe(true);
});

test("KUBEBUILDER_ASSETS supplies etcd and kube-apiserver, and a folder without them is refused by name", async () => {
  vi.stubEnv("KUBEBUILDER_ASSETS", folder);
  await expect(start({ home: home() })).rejects.toThrow(path.join(folder, "etcd"));
  const { driftlessLocal, binDir } = await withoutAssets(requirePrograms);
  for (const name of ["etcd", "kube-apiserver"]) {
    // Stock programs do not watch their stdin; these do, so they get one that never ends.
    const script = `#!/bin/bash\nmkfifo "$0.stdin"; exec 3<>"$0.stdin"; exec "${driftlessLocal}" ${name} "$@" <&3\n`;
    await writeFile(path.join(folder, name), script, { mode: 0o755 });
  }
  await symlink(path.join(binDir, "kubectl"), path.join(folder, "kubectl"));
  const local = await start({ home: home(), nats: false, git: false });
  expect(await processesNaming(`leash\0${path.join(folder, "kube-apiserver")}`)).toHaveLength(1);
  expect(await kubectl(local, "get", "nodes", "--no-headers")).toMatch(/Ready/);
  await local.stop();
  expect(await processesNaming(folder)).toEqual([]);
});

async function withoutAssets<T>(work: () => Promise<T>): Promise<T> {
  vi.unstubAllEnvs();
  const result = await work();
  vi.stubEnv("KUBEBUILDER_ASSETS", folder);
  return result;
}

/** In a process of its own, the way `npm start` runs them; answers its parts once all are ready. */
async function startElsewhere(stateHome: string): Promise<(ProcessIdentity & { name: string })[]> {
  const program = `
    import { startLocal } from "@driftless/local/local";
    await startLocal({ home: process.argv[1], unsafeNoFsync: true });
    console.log("ready");
  `;
  const child = spawn(process.execPath, ["--input-type=module", "--eval", program, stateHome], {
    cwd: import.meta.dirname,
    stdio: ["ignore", "pipe", "inherit"],
  });
  supervisors.unshift(child);
  for await (const line of createInterface({ input: child.stdout })) if (line === "ready") break;
  const parts = await partsOf(stateHome);
  expect(
    parts
      .filter(isAlive)
      .map((part) => part.name)
      .toSorted(),
  ).toEqual(names);
  return parts;
}
