// The programs of local mode: what is built from this folder's Go module, and where they are then.
import { existsSync } from "node:fs";
import path from "node:path";
import { buildGo, type BuildProgress } from "./build.ts";
import { PartFailed } from "./part-failed.ts";

export interface Programs {
  /** Folder of all of them, with `nats` and `kubectl` for people: worth having in the PATH. */
  binDir: string;
  driftlessLocal: string;
  natsServer: string;
  nats: string;
  kwok: string;
  kubectl: string;
  /** Command lines to which each program's own flags are added. */
  etcd: string[];
  kubeApiserver: string[];
  /** KWOK's own stages: pods run and Jobs complete at once, nodes are ready. */
  kwokStages: string;
}

// The version in go.mod; release builds stamp it in, and `kubectl version` and Helm's capabilities show it.
const kubernetesVersion = "v1.36.3";
const versionPackages = ["k8s.io/component-base/version", "k8s.io/client-go/pkg/version"];

export async function requirePrograms(
  options: { onProgress?: (progress: BuildProgress) => void; signal?: AbortSignal } = {},
): Promise<Programs> {
  const { binDir, filesDir } = await buildGo({
    moduleDir: path.join(import.meta.dirname, ".."),
    what: "the local Kubernetes control plane and NATS",
    outputs: [
      { pkg: ".", name: "driftless-local" },
      { pkg: "github.com/nats-io/nats-server/v2", name: "nats-server" },
      { pkg: "github.com/nats-io/natscli/nats", name: "nats" },
      { pkg: "k8s.io/kubernetes/cmd/kubectl", name: "kubectl" },
      { pkg: "sigs.k8s.io/kwok/cmd/kwok", name: "kwok" },
    ],
    stamps: Object.fromEntries(
      versionPackages.flatMap((name) => [
        [`${name}.gitVersion`, kubernetesVersion],
        [`${name}.gitMajor`, kubernetesVersion.split(".")[0]!.slice(1)],
        [`${name}.gitMinor`, kubernetesVersion.split(".")[1]!],
        [`${name}.gitTreeState`, "clean"],
      ]),
    ),
    files: [
      {
        module: "sigs.k8s.io/kwok",
        name: "kwok-stages.yaml",
        paths: [
          "kustomize/stage/node/fast/node-initialize.yaml",
          "kustomize/stage/node/heartbeat/node-heartbeat.yaml",
          "kustomize/stage/pod/fast/pod-ready.yaml",
          "kustomize/stage/pod/fast/pod-complete.yaml",
          "kustomize/stage/pod/fast/pod-delete.yaml",
        ],
      },
    ],
    ...options,
  });
  const built = (name: string) => path.join(binDir, name);
  return {
    binDir,
    driftlessLocal: built("driftless-local"),
    natsServer: built("nats-server"),
    nats: built("nats"),
    kwok: built("kwok"),
    kwokStages: path.join(filesDir, "kwok-stages.yaml"),
    ...controlPlane(built("driftless-local"), built("kubectl"), process.env["KUBEBUILDER_ASSETS"]),
  };
}

/**
 * KUBEBUILDER_ASSETS (the folder of envtest) replaces etcd, kube-apiserver and kubectl. It holds neither
 * kube-controller-manager nor kube-scheduler: those stay ours, of 1.36, which the project supports against an API
 * server of 1.36 or 1.37. With another version Deployments may stay without Pods; the log files tell.
 */
function controlPlane(driftlessLocal: string, kubectl: string, assets: string | undefined) {
  if (!assets) {
    return { etcd: [driftlessLocal, "etcd"], kubeApiserver: [driftlessLocal, "kube-apiserver"], kubectl };
  }
  const asset = (name: string) => {
    const file = path.resolve(assets, name);
    if (existsSync(file)) return file;
    throw new PartFailed(name, `KUBEBUILDER_ASSETS is ${assets}, but ${file} does not exist. Correct or unset it.`);
  };
  return {
    etcd: [driftlessLocal, "leash", asset("etcd")],
    kubeApiserver: [driftlessLocal, "leash", asset("kube-apiserver")],
    kubectl: asset("kubectl"),
  };
}
