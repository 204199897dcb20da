// repo-fetcher's Git over SSH against an SSH server with a real `git upload-pack` behind it, and against servers that
// are not who they should be.
import { spawn } from "node:child_process";
import { createHmac, createVerify, generateKeyPairSync, randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startGitServer } from "@driftless/local/git-server";
import type { GitServer } from "@driftless/local/git-server";
import { systemClock } from "@driftless/process/clock";
import type { Outcome } from "@driftless/repo-fetcher/git-failure";
import type { SshSettings } from "@driftless/repo-fetcher/http";
import { RemoteObjects } from "@driftless/repo-fetcher/objects";
import { Repository } from "@driftless/repo-fetcher/repository";
import ssh2 from "ssh2";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";

const cause = { kind: "user" as const, at: "2026-01-01T00:00:00Z" };
const user = ssh2.utils.generateKeyPairSync("ed25519");
const hostKey = ssh2.utils.generateKeyPairSync("ed25519");
const rsaHostKey = ssh2.utils.generateKeyPairSync("rsa", { bits: 2048 });
const otherKey = ssh2.utils.generateKeyPairSync("ed25519");

let dir: string;
let git: GitServer;
const closing: (() => unknown)[] = [];

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "driftless-ssh-"));
  git = await startGitServer({ dir, port: 0 });
});
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});
afterAll(async () => {
  await git?.stop();
  await rm(dir, { recursive: true, force: true });
});

interface Sshd {
  port: number;
  commands: string[];
  connections: number;
  authentications: string[];
  drop(): void;
}

/** `answer` instead of Git, if given. */
async function sshd(
  options: { honoursProtocol?: boolean; answer?: (channel: ssh2.ServerChannel) => void } = {},
): Promise<Sshd> {
  const allowed = ssh2.utils.parseKey(user.public);
  if (allowed instanceof Error) throw allowed;
  const clients = new Set<ssh2.Connection>();
  const server = new ssh2.Server({ hostKeys: [hostKey.private, rsaHostKey.private] }, (client) => {
    clients.add(client);
    state.connections += 1;
    client.on("authentication", (context) => {
      state.authentications.push(`${context.username} ${context.method}`);
      const fits = context.method === "publickey" && context.key.data.equals(allowed.getPublicSSH());
      if (!fits) return context.reject(["publickey"]);
      if (context.signature && context.blob && allowed.verify(context.blob, context.signature) !== true)
        return context.reject();
      context.accept();
    });
    client.on("error", () => {});
    client.on("close", () => clients.delete(client));
    client.on("session", (accept) => {
      const session = accept();
      let protocol = "";
      session.on("env", (acceptEnv, _reject, info) => {
        if (info.key === "GIT_PROTOCOL" && options.honoursProtocol !== false) protocol = info.val;
        acceptEnv?.();
      });
      session.on("exec", (acceptExec, _reject, info) => {
        state.commands.push(info.command);
        const channel = acceptExec();
        channel.on("error", () => {});
        if (options.answer) return options.answer(channel);
        // As sshd does: the user's shell runs the command, in the user's home.
        const child = spawn("sh", ["-c", info.command], {
          cwd: dir,
          env: {
            PATH: process.env["PATH"],
            GIT_PROTOCOL: protocol,
            GIT_CONFIG_COUNT: "3",
            GIT_CONFIG_KEY_0: "uploadpack.allowFilter",
            GIT_CONFIG_VALUE_0: "true",
            GIT_CONFIG_KEY_1: "uploadpack.allowAnySHA1InWant",
            GIT_CONFIG_VALUE_1: "true",
            GIT_CONFIG_KEY_2: "safe.directory",
            GIT_CONFIG_VALUE_2: "*",
          },
        });
        child.stdin.on("error", () => {});
        channel.pipe(child.stdin);
        child.stdout.pipe(channel, { end: false });
        child.stderr.pipe(channel.stderr, { end: false });
        child.on("close", (code) => {
          channel.exit(code ?? 1);
          channel.end();
        });
      });
    });
  });
  const state: Sshd = {
    port: 0,
    commands: [],
    connections: 0,
    authentications: [],
    drop: () => clients.forEach((client) => client.end()),
  };
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  state.port = (server.address() as AddressInfo).port;
  closing.push(() => {
    state.drop();
    server.close();
  });
  return state;
}

const keyOf = (pair: { public: string }) => pair.public.split(" ").slice(0, 2).join(" ");
const line = (port: number, pair = hostKey) => `[127.0.0.1]:${port} ${keyOf(pair)}\n`;

function open(url: string, ssh: SshSettings, http = {}): RemoteObjects {
  const remote = new RemoteObjects({
    url,
    clock: systemClock,
    credentials: { auth: { kind: "none" }, ssh },
    http,
  });
  closing.push(() => remote.close());
  return remote;
}

function value<T>(result: Outcome<T>): T {
  if (result.kind === "ok") return result.value;
  throw new Error(`${result.failure.code}: ${result.failure.message}`);
}
const told = (result: Outcome<unknown>) =>
  result.kind === "ok" ? "ok" : `${result.failure.code} ${result.failure.message}`;

describe("fetching", () => {
  test.each([
    ["protocol 2", true],
    ["a server that does not take GIT_PROTOCOL", false],
  ])("files, a push, constraints and short SHAs come over SSH as over HTTP: %s", async (_, honoursProtocol) => {
    const name = honoursProtocol ? "two" : "one";
    const { sha: first } = await git.createRepository(name, { "app/a.yaml": "one", "big/x": "x".repeat(300_000) });
    const server = await sshd({ honoursProtocol });
    const ssh = { privateKey: user.private, knownHosts: line(server.port) };
    const remote = open(`ssh://git@127.0.0.1:${server.port}${dir}/${name}.git`, ssh);
    const repository = new Repository({
      remote,
      clock: systemClock,
      pollMs: 0,
      matchConstraint: (_constraint, versions) => [...versions].sort().at(-1),
      events: { onPolled() {}, onSourcesChanged() {}, onSourcesUnchanged() {}, onFailed() {} },
    });
    closing.push(() => repository.close());
    const at = value(await repository.resolve("main", "latest", cause)).commit;
    expect(at).toBe(first);
    const text = async (commit: string) => {
      const { bundle } = value(await repository.bundle(commit, "app"));
      return [...bundle.entries].map(([path, entry]) => `${path} ${Buffer.from(entry.bytes).toString()}`);
    };
    expect(await text(at)).toEqual(["app/a.yaml one"]);
    const second = await git.commitFiles(name, { "app/a.yaml": "two" }, "second");
    await git.setRef(name, "refs/tags/v1.2.0", second);
    expect(value(await repository.resolve("1.*", "latest", cause)).commit).toBe(second);
    expect(await text(second)).toEqual(["app/a.yaml two"]);
    expect(new Set(server.commands)).toEqual(new Set([`git-upload-pack '${dir}/${name}.git'`]));
    // One connection carries all of it.
    expect(server.connections).toBe(1);
    expect(server.authentications.every((a) => a.startsWith("git "))).toBe(true);
  });

  test("a kept connection that the server ended is opened again without a failure", async () => {
    await git.createRepository("again", { a: "1" });
    const server = await sshd();
    const remote = open(`ssh://git@127.0.0.1:${server.port}${dir}/again.git`, {
      privateKey: user.private,
      knownHosts: line(server.port),
    });
    value(await remote.listRefs());
    server.drop();
    value(await remote.listRefs());
    expect(server.connections).toBe(2);
  });

  test("a path with quotes reaches Git as a path, and the far shell runs nothing else", async () => {
    const server = await sshd();
    const ssh = { privateKey: user.private, knownHosts: line(server.port) };
    const remote = open(`ssh://git@127.0.0.1:${server.port}/x'; touch ${dir}/pwned; '!`, ssh);
    expect(told(await remote.listRefs())).toMatch(/^REPO_NOT_FOUND /);
    await expect(rm(join(dir, "pwned"))).rejects.toThrow("ENOENT");
  });
});

describe("who is at the other end", () => {
  const url = (port: number) => `ssh://git@127.0.0.1:${port}/r.git`;
  const salt = randomBytes(20);
  const hashed = (name: string) =>
    `|1|${salt.toString("base64")}|${createHmac("sha1", salt).update(name).digest("base64")}`;

  test.each([
    ["no line at all", () => ""],
    ["another key", (port: number) => line(port, otherKey)],
    ["another port", (port: number) => line(port + 1)],
    ["the plain host without its port", () => `127.0.0.1 ${keyOf(hostKey)}\n`],
    ["a host excluded again", (port: number) => `*,!\\[127.0.0.1\\]:${port},![127.0.0.1]:${port} ${keyOf(hostKey)}\n`],
    ["a revoked key", (port: number) => `${line(port)}@revoked ${line(port)}`],
    ["an authority instead of a key", (port: number) => `@cert-authority ${line(port)}`],
  ])("a key that is not known (%s) ends it before user, path or signature are said", async (_, knownHosts) => {
    const server = await sshd();
    const result = await open(url(server.port), {
      privateKey: user.private,
      knownHosts: knownHosts(server.port),
    }).listRefs();
    expect(told(result)).toMatch(/^SSH_HOST_KEY_UNKNOWN /);
    expect(server.authentications).toEqual([]);
    expect(server.commands).toEqual([]);
  });

  test.each([
    ["hashed", (port: number) => `${hashed(`[127.0.0.1]:${port}`)} ${keyOf(hostKey)}`],
    ["a pattern", (port: number) => `[127.0.0.*]:${port} ${keyOf(hostKey)}`],
    ["a list", (port: number) => `# comment\nother,[127.0.0.1]:${port} ${keyOf(hostKey)} remark`],
    // The server would rather show its other key.
    ["only its RSA key", (port: number) => line(port, rsaHostKey)],
  ])("a known key is found: %s", async (_, knownHosts) => {
    await git.createRepository("known", { a: "1" });
    const server = await sshd();
    const remote = open(`ssh://git@127.0.0.1:${server.port}${dir}/known.git`, {
      privateKey: user.private,
      knownHosts: knownHosts(server.port),
    });
    expect(told(await remote.listRefs())).toBe("ok");
  });

  test("a key that the server does not take, and one that cannot be read, are said without showing them", async () => {
    const server = await sshd();
    const knownHosts = line(server.port);
    const canary = "-----BEGIN OPENSSH PRIVATE KEY-----\nCANARY\n-----END OPENSSH PRIVATE KEY-----\n";
    const locked = ssh2.utils.generateKeyPairSync("ed25519", {
      passphrase: "x",
      cipher: "aes256-ctr",
      rounds: 4,
    }).private;
    for (const privateKey of [otherKey.private, undefined, canary, locked]) {
      const said = told(await open(url(server.port), { privateKey, knownHosts }).listRefs());
      expect(said).toMatch(/^GIT_AUTH_FAILED /);
      expect(said).not.toMatch(/CANARY|BEGIN/);
    }
    expect(server.commands).toEqual([]);
  });
});

describe("servers that misbehave", () => {
  const ask = async (answer: (channel: ssh2.ServerChannel) => void, http = {}) => {
    const server = await sshd({ answer });
    const ssh = { privateKey: user.private, knownHosts: line(server.port) };
    return told(await open(`ssh://git@127.0.0.1:${server.port}/r.git`, ssh, http).listRefs());
  };

  test("silence, endless words, half an answer and refusals have an end and a code", async () => {
    expect(await ask(() => {}, { idleMs: 200 })).toMatch(/^GIT_UNREACHABLE .*silence/);
    const endless = (channel: ssh2.ServerChannel) => {
      const more = () => {
        while (channel.writable && channel.write(Buffer.alloc(32_768, "0"))) continue;
        channel.once("drain", more);
      };
      more();
    };
    expect(await ask(endless, { responseBytesMax: 200_000 })).toMatch(/^FETCH_LIMIT /);
    const end = (text: string, stderr: string, code: number) => (channel: ssh2.ServerChannel) => {
      channel.write(text);
      channel.stderr.write(stderr);
      channel.exit(code);
      channel.end();
    };
    expect(await ask(end("", "ERROR: Repository not found.\n", 1))).toMatch(/^REPO_NOT_FOUND /);
    expect(await ask(end("", "Permission to a/b denied\x1b[2J\n", 128))).toMatch(/^GIT_AUTH_FAILED [\x20-\x7e]*$/);
    expect(await ask(end("00ff# serv", "", 0))).toMatch(/^GIT_UNREACHABLE |^GIT_PROTOCOL /);
    expect(await ask(end("Welcome! Type help.\n", "", 0))).toMatch(/^GIT_UNREACHABLE |^GIT_PROTOCOL /);
  });

  test("a host that leads to a metadata address is refused at the moment of connecting", async () => {
    const remote = new RemoteObjects({
      url: "git@forge.example.com:team/app.git",
      clock: systemClock,
      credentials: { auth: { kind: "none" }, ssh: { knownHosts: `forge.example.com ${keyOf(hostKey)}` } },
      resolveName: (_host, _options, callback) => callback(null, [{ address: "169.254.169.254", family: 4 }]),
    });
    closing.push(() => remote.close());
    expect(told(await remote.listRefs())).toMatch(/^REPO_URL_DENIED /);
  });
});

describe("a GitHub App", () => {
  test("signs a claim, asks once for a token, gives it to its repository alone, and asks anew when it is refused", async () => {
    const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
    const { url } = await git.createRepository("app", { a: "1" });
    const asked: string[] = [];
    let token = "first";
    const api = createServer((request, response) => {
      asked.push(`${request.method} ${request.url}`);
      const [head, body, signature] = request.headers.authorization!.replace("Bearer ", "").split(".");
      const verify = createVerify("sha256").update(`${head}.${body}`);
      const claim = JSON.parse(Buffer.from(body!, "base64url").toString());
      const good =
        verify.verify(publicKey, Buffer.from(signature!, "base64url")) &&
        claim.iss === "12" &&
        claim.exp - claim.iat <= 600;
      response.statusCode = good ? 200 : 401;
      response.end(
        request.url!.endsWith("/installation")
          ? JSON.stringify({ id: 34 })
          : JSON.stringify({ token, expires_at: new Date(Date.now() + 3_600_000).toISOString() }),
      );
    });
    await new Promise<void>((resolve) => api.listen(0, "127.0.0.1", resolve));
    closing.push(() => api.close());
    const apiUrl = `http://127.0.0.1:${(api.address() as AddressInfo).port}/api/v3`;
    const pem = privateKey.export({ type: "pkcs8", format: "pem" }).toString();
    const remote = new RemoteObjects({
      url,
      clock: systemClock,
      credentials: { auth: { kind: "githubApp", appId: "12", privateKey: pem, apiUrl } },
    });
    closing.push(() => remote.close());
    git.setCredentials("app", { username: "x-access-token", password: "first" });
    value(await remote.listRefs());
    value(await remote.listRefs());
    expect(asked).toEqual([
      expect.stringMatching(/^GET \/api\/v3\/repos\/.*\/installation$/),
      "POST /api/v3/app/installations/34/access_tokens",
    ]);
    git.setCredentials("app", { username: "x-access-token", password: "second" });
    expect(told(await remote.listRefs())).toMatch(/^GIT_AUTH_FAILED /);
    token = "second";
    expect(told(await remote.listRefs())).toBe("ok");
    expect(asked).toHaveLength(3);
  });

  test("a key of another App, and something that is no key, are refused without showing it", async () => {
    const { url } = await git.createRepository("app2", { a: "1" });
    const api = createServer((_request, response) => {
      response.statusCode = 401;
      response.end("CANARY");
    });
    await new Promise<void>((resolve) => api.listen(0, "127.0.0.1", resolve));
    closing.push(() => api.close());
    const apiUrl = `http://127.0.0.1:${(api.address() as AddressInfo).port}`;
    const pem = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey.export({ type: "pkcs1", format: "pem" });
    for (const privateKey of [pem.toString(), "CANARY"]) {
      const remote = new RemoteObjects({
        url,
        clock: systemClock,
        credentials: { auth: { kind: "githubApp", appId: "1", installationId: "2", privateKey, apiUrl } },
      });
      closing.push(() => remote.close());
      const said = told(await remote.listRefs());
      expect(said).toMatch(/^GIT_AUTH_FAILED /);
      expect(said).not.toContain("CANARY");
    }
  });
});
