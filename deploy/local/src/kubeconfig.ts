// Kubeconfigs of the local cluster, and the few requests made with them before any client library is at hand.
import { readFile } from "node:fs/promises";
import { request } from "node:https";
import path from "node:path";

export interface ClientIdentity {
  server: string;
  ca: string;
  certificate: string;
  key: string;
}

export async function clientIdentity(server: string, certificates: string, user: string): Promise<ClientIdentity> {
  const read = (file: string) => readFile(path.join(certificates, file), "utf8");
  const [ca, certificate, key] = await Promise.all([read("ca.crt"), read(`${user}.crt`), read(`${user}.key`)]);
  return { server, ca, certificate, key };
}

/** Everything is inside, no paths: the file can be copied and goes on working. */
export function kubeconfigText(identity: ClientIdentity): string {
  const base64 = (text: string) => Buffer.from(text).toString("base64");
  return `apiVersion: v1
kind: Config
clusters:
  - name: driftless-local
    cluster:
      server: ${identity.server}
      certificate-authority-data: ${base64(identity.ca)}
users:
  - name: driftless-local
    user:
      client-certificate-data: ${base64(identity.certificate)}
      client-key-data: ${base64(identity.key)}
contexts:
  - name: driftless-local
    context:
      cluster: driftless-local
      user: driftless-local
current-context: driftless-local
`;
}

export interface KubeAnswer {
  status: number;
  text: string;
}

export function kubeRequest(
  identity: ClientIdentity,
  method: "GET" | "POST",
  url: string,
  body?: unknown,
): Promise<KubeAnswer> {
  return new Promise((resolve, reject) => {
    const sent = request(
      new URL(url, identity.server),
      {
        method,
        ca: identity.ca,
        cert: identity.certificate,
        key: identity.key,
        // No connection is kept: an API server that is to stop waits for open ones.
        agent: false,
        timeout: 5000,
        headers: { "content-type": "application/json", accept: "application/json" },
      },
      (response) => {
        let text = "";
        response.setEncoding("utf8");
        response.on("data", (chunk: string) => (text += chunk));
        response.on("end", () => resolve({ status: response.statusCode ?? 0, text }));
        response.on("error", reject);
      },
    );
    sent.on("timeout", () => sent.destroy(new Error("no answer")));
    sent.on("error", reject);
    sent.end(body === undefined ? undefined : JSON.stringify(body));
  });
}
