// What every story on real parts needs: one world for a test file, small repositories, and kubectl.
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { systemClock, waitUntil } from "@driftless/process/clock";
import { afterAll, beforeAll } from "vitest";
import { startWorld, type World, type WorldOptions } from "./world.ts";

const exec = promisify(execFile);

/** Starts a world before the file's tests and ends it after them. */
export function useWorld(options: WorldOptions = {}): { readonly world: World } {
  let world: World | undefined;
  beforeAll(async () => {
    world = await startWorld(options);
  }, 900_000);
  afterAll(async () => {
    await world?.[Symbol.asyncDispose]();
  }, 60_000);
  return {
    get world() {
      if (!world) throw new Error("the world is not there outside a test");
      return world;
    },
  };
}

export interface Ran {
  code: number;
  stdout: string;
  stderr: string;
}

export async function run(
  command: string,
  args: string[],
  env: NodeJS.ProcessEnv = {},
  timeoutMs = 60_000,
): Promise<Ran> {
  try {
    const { stdout, stderr } = await exec(command, args, {
      env: { ...process.env, ...env },
      timeout: timeoutMs,
      maxBuffer: 64 << 20,
    });
    return { code: 0, stdout, stderr };
  } catch (error) {
    const failed = error as { code?: number | string; stdout?: string; stderr?: string; message: string };
    return {
      code: typeof failed.code === "number" ? failed.code : -1,
      stdout: failed.stdout ?? "",
      stderr: failed.stderr ?? failed.message,
    };
  }
}

export async function kubectl(world: World, ...args: string[]): Promise<string> {
  const ran = await run(join(world.local.binDir, "kubectl"), ["--kubeconfig", world.local.kubeconfigPath!, ...args]);
  if (ran.code !== 0) throw new Error(`kubectl ${args.join(" ")}: ${ran.stderr}`);
  return ran.stdout;
}

export async function kubectlJson<T = any>(world: World, ...args: string[]): Promise<T> {
  return JSON.parse(await kubectl(world, ...args, "-o", "json")) as T;
}

export const eventually = <T>(
  what: string,
  check: () => T | undefined | false | Promise<T | undefined | false>,
  deadlineMs = 30_000,
): Promise<T> => waitUntil(systemClock, what, check, { deadlineMs, intervalMs: 50 });

export function deployment(name: string, options: { replicas?: number; image?: string; extra?: string } = {}): string {
  return `apiVersion: apps/v1
kind: Deployment
metadata:
  name: ${name}
spec:
  replicas: ${options.replicas ?? 1}
  selector:
    matchLabels: {app: ${name}}
  template:
    metadata:
      labels: {app: ${name}}
    spec:
      containers:
        - name: web
          image: ${options.image ?? "registry.example.com/web:1"}
          ports: [{containerPort: 8080}]
${options.extra ?? ""}`;
}

export const configMap = (name: string, data: Record<string, string> = { key: "value" }): string =>
  `apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: ${name}\ndata: ${JSON.stringify(data)}\n`;

export const service = (name: string): string =>
  `apiVersion: v1\nkind: Service\nmetadata:\n  name: ${name}\nspec:\n  selector: {app: ${name}}\n  ports: [{port: 80, targetPort: 8080}]\n`;

export async function push(world: World, repoURL: string, ref = "refs/heads/main"): Promise<void> {
  const answer = await fetch(`${world.services.apiUrl}/api/webhook`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ repoURL, ref }),
  });
  if (!answer.ok) throw new Error(`webhook: ${answer.status} ${await answer.text()}`);
}
