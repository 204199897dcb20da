// A real Kubernetes control plane: etcd, kube-apiserver, kube-controller-manager and kube-scheduler, with KWOK for
// what the kubelets of real nodes would do.
//
// Start: certificates (once), etcd and kube-apiserver together (the one waits for the other), then the clients of the
// API server together, then one Node. Stop: clients first, then kube-apiserver, then etcd; without etcd the API server
// would ignore SIGTERM for minutes.
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, rename, rm } from "node:fs/promises";
import path from "node:path";
import { promisify } from "node:util";
import { startKwok } from "./kwok.ts";
import { clientIdentity, kubeconfigText, kubeRequest, type ClientIdentity } from "./kubeconfig.ts";
import { startPart, type Part } from "./part.ts";
import { freePort, withPort } from "./ports.ts";
import type { Programs } from "./programs.ts";
import { writeState, type State } from "./state.ts";

export interface ControlPlane {
  server: string;
  port: number;
  kubeconfigPath: string;
  identity: ClientIdentity;
  /** All programs, in the order in which they are stopped. */
  parts: Part[];
  stop(): Promise<void>;
  kill(): Promise<void>;
}

export interface ControlPlaneOptions {
  /** Exactly this port, as after a stop; the usual 6443 or any other when not given. */
  port?: number;
  /** Begins with an empty cluster. */
  fresh?: boolean;
  /** Etcd acknowledges before its data is on the disk: faster on slow disks, lost at a power cut. */
  unsafeNoFsync?: boolean;
}

const usualPort = 6443;
const nodeName = "kwok-0";
const certificateFiles = ["ca", "apiserver", "etcd", "admin", "controller-manager", "scheduler", "kwok"]
  .flatMap((name) => [`${name}.crt`, `${name}.key`])
  .concat("service-account.key", "service-account.pub");

export async function startControlPlane(
  state: State,
  programs: Programs,
  options: ControlPlaneOptions = {},
): Promise<ControlPlane> {
  if (options.fresh) await rm(state.etcd, { recursive: true, force: true });
  await mkdir(state.etcd, { recursive: true, mode: 0o700 });
  await requireCertificates(state, programs);

  const { etcd, apiserver, identity, port } = await withPort({ usual: usualPort, exactly: options.port }, (wanted) =>
    startServers(state, programs, wanted, options),
  );
  const started = [apiserver, etcd];
  const track = async (starting: Promise<Part>) => {
    const part = await starting;
    started.unshift(part);
    return part;
  };
  try {
    // All are waited for even when one fails, so that the catch below knows everything there is to end.
    const clients = await Promise.allSettled([
      track(startClient(state, programs, "kube-controller-manager", identity.server)),
      track(startClient(state, programs, "kube-scheduler", identity.server)),
      track(startKwok(state, programs, identity.server)),
      createNode(identity),
    ]);
    for (const outcome of clients) if (outcome.status === "rejected") throw outcome.reason;
    await apiserver.whenReady(async () => {
      await Promise.all(started.map((part) => part.requireAlive()));
      return canRunPods(identity);
    }, 60_000);
    await writeState(state.kubeconfig, kubeconfigText(identity));
    return {
      server: identity.server,
      port,
      identity,
      kubeconfigPath: state.kubeconfig,
      parts: started,
      stop: () => stopInOrder(started),
      async kill() {
        await Promise.all(started.map((part) => part.kill()));
      },
    };
  } catch (error) {
    await Promise.all(started.map((part) => part.kill()));
    throw error;
  }
}

async function startServers(state: State, programs: Programs, port: number, options: ControlPlaneOptions) {
  const identity = await clientIdentity(`https://127.0.0.1:${port}`, state.certificates, "admin");
  const [etcdPort, peerPort] = [await freePort(), await freePort()];
  const etcd = await startEtcd(state, programs, etcdPort, peerPort, options);
  try {
    const apiserver = await startApiserver(state, programs, port, etcdPort);
    try {
      await apiserver.whenReady(async () => {
        // Etcd may be the one to fail, and then says better why.
        await etcd.requireAlive();
        return (await kubeRequest(identity, "GET", "/readyz")).status === 200;
      }, 60_000);
    } catch (error) {
      await apiserver.kill();
      throw error;
    }
    return { etcd, apiserver, identity, port };
  } catch (error) {
    await etcd.kill();
    throw error;
  }
}

async function stopInOrder(parts: Part[]): Promise<void> {
  const named = (name: string) => parts.find((part) => part.name === name);
  const [apiserver, etcd] = [named("kube-apiserver"), named("etcd")];
  const clients = parts.filter((part) => part !== apiserver && part !== etcd);
  await Promise.all(clients.map((part) => part.stop(3000)));
  await apiserver?.stop();
  await etcd?.stop();
}

/**
 * The folder appears whole, so a crash in between leaves no half of a CA. One made by an older version lacks what came
 * later and is made anew: the cluster takes other keys at any start.
 */
async function requireCertificates(state: State, programs: Programs) {
  if (certificateFiles.every((file) => existsSync(path.join(state.certificates, file)))) return;
  const unfinished = `${state.certificates}.unfinished`;
  await rm(unfinished, { recursive: true, force: true });
  await promisify(execFile)(programs.driftlessLocal, ["certs", unfinished]);
  await rm(state.certificates, { recursive: true, force: true });
  await rename(unfinished, state.certificates);
}

async function startEtcd(
  state: State,
  programs: Programs,
  port: number,
  peerPort: number,
  options: ControlPlaneOptions,
): Promise<Part> {
  const [url, peerUrl] = [`https://127.0.0.1:${port}`, `https://127.0.0.1:${peerPort}`];
  const certificate = (file: string) => path.join(state.certificates, file);
  const tls = (prefix: string) => [
    `--${prefix}client-cert-auth`,
    `--${prefix}trusted-ca-file=${certificate("ca.crt")}`,
    `--${prefix}cert-file=${certificate("etcd.crt")}`,
    `--${prefix}key-file=${certificate("etcd.key")}`,
  ];
  return startPart(state, "etcd", [
    ...programs.etcd,
    "--name=local",
    `--data-dir=${state.etcd}`,
    `--listen-client-urls=${url}`,
    `--advertise-client-urls=${url}`,
    `--listen-peer-urls=${peerUrl}`,
    `--initial-advertise-peer-urls=${peerUrl}`,
    `--initial-cluster=local=${peerUrl}`,
    "--quota-backend-bytes=8589934592",
    ...tls(""),
    ...tls("peer-"),
    ...(options.unsafeNoFsync ? ["--unsafe-no-fsync"] : []),
  ]);
}

async function startApiserver(state: State, programs: Programs, port: number, etcdPort: number): Promise<Part> {
  const certificate = (file: string) => path.join(state.certificates, file);
  return startPart(state, "kube-apiserver", [
    ...programs.kubeApiserver,
    `--etcd-servers=https://127.0.0.1:${etcdPort}`,
    `--etcd-cafile=${certificate("ca.crt")}`,
    `--etcd-certfile=${certificate("etcd.crt")}`,
    `--etcd-keyfile=${certificate("etcd.key")}`,
    "--bind-address=127.0.0.1",
    "--advertise-address=127.0.0.1",
    `--secure-port=${port}`,
    // Nothing runs inside the cluster that could use its address, and loopback is refused as an endpoint.
    "--endpoint-reconciler-type=none",
    `--tls-cert-file=${certificate("apiserver.crt")}`,
    `--tls-private-key-file=${certificate("apiserver.key")}`,
    `--client-ca-file=${certificate("ca.crt")}`,
    "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
    `--service-account-key-file=${certificate("service-account.pub")}`,
    `--service-account-signing-key-file=${certificate("service-account.key")}`,
    "--service-cluster-ip-range=10.0.0.0/24",
    "--authorization-mode=Node,RBAC",
    "--allow-privileged=true",
  ]);
}

async function startClient(
  state: State,
  programs: Programs,
  name: "kube-controller-manager" | "kube-scheduler",
  server: string,
): Promise<Part> {
  const user = name.slice("kube-".length);
  const kubeconfig = path.join(state.certificates, `${user}.kubeconfig`);
  await writeState(kubeconfig, kubeconfigText(await clientIdentity(server, state.certificates, user)));
  const certificate = (file: string) => path.join(state.certificates, file);
  const ofControllerManager = [
    `--root-ca-file=${certificate("ca.crt")}`,
    `--service-account-private-key-file=${certificate("service-account.key")}`,
    `--cluster-signing-cert-file=${certificate("ca.crt")}`,
    `--cluster-signing-key-file=${certificate("ca.key")}`,
  ];
  return startPart(state, name, [
    programs.driftlessLocal,
    name,
    `--kubeconfig=${kubeconfig}`,
    // There is one of each, and after a kill -9 it must not wait for its own lease to run out.
    "--leader-elect=false",
    // No port: nobody scrapes them, and two copies would compete for it.
    "--secure-port=0",
    // The defaults (20 a second) are for sharing one API server among many; a bench with a thousand apps would measure
    // them and nothing else.
    "--kube-api-qps=500",
    "--kube-api-burst=1000",
    ...(name === "kube-controller-manager" ? ofControllerManager : []),
  ]);
}

async function createNode(identity: ClientIdentity) {
  const { status, text } = await kubeRequest(identity, "POST", "/api/v1/nodes", {
    apiVersion: "v1",
    kind: "Node",
    metadata: {
      name: nodeName,
      labels: { "kubernetes.io/hostname": nodeName, "kubernetes.io/os": "linux", type: "kwok" },
      annotations: { "node.alpha.kubernetes.io/ttl": "0" },
    },
  });
  // 409: it is there from the last run.
  if (status !== 201 && status !== 409) throw new Error(`the local Node was refused: ${status} ${text}`);
}

/** Pods need a Ready node and, in their namespace, the ServiceAccount that the controller manager makes. */
async function canRunPods(identity: ClientIdentity): Promise<boolean> {
  const [node, account] = await Promise.all([
    kubeRequest(identity, "GET", `/api/v1/nodes/${nodeName}`),
    kubeRequest(identity, "GET", "/api/v1/namespaces/default/serviceaccounts/default"),
  ]);
  if (node.status !== 200 || account.status !== 200) return false;
  const { status } = JSON.parse(node.text) as { status?: { conditions?: { type: string; status: string }[] } };
  return status?.conditions?.some((condition) => condition.type === "Ready" && condition.status === "True") ?? false;
}
