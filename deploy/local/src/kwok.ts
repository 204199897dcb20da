// KWOK: plays the kubelet of every Node, so that Pods run and Jobs complete without a container runtime.
import path from "node:path";
import { clientIdentity, kubeconfigText } from "./kubeconfig.ts";
import { startPart, type Part } from "./part.ts";
import type { Programs } from "./programs.ts";
import { writeState, type State } from "./state.ts";

export async function startKwok(state: State, programs: Programs, server: string): Promise<Part> {
  const kubeconfig = path.join(state.certificates, "kwok.kubeconfig");
  await writeState(kubeconfig, kubeconfigText(await clientIdentity(server, state.certificates, "kwok")));
  return startPart(state, "kwok", [
    programs.driftlessLocal,
    "leash",
    programs.kwok,
    `--kubeconfig=${kubeconfig}`,
    `--config=${programs.kwokStages}`,
    "--manage-all-nodes=true",
    "--cidr=10.244.0.0/16",
    "--node-ip=127.0.0.1",
  ]);
}
