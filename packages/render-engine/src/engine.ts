// Supervises the render engine's children (edge: the one place in the services where a process is started).
//
// A call waits in a queue, goes to an idle child, is answered, and the child is idle again. Children are started when
// there is work for them, live on, and end when nothing was asked of them for a while. What a child is given to read was written by strangers, so:
//
// E1  One job at a time: whatever a job does to its child, no other job notices.
// E2  A child that answers late, too much, or not what was asked is killed; its job fails, the next gets a new child.
//     A child that somebody else killed (the kernel picks its victims by size, not by guilt) costs its job one more try.
// E3  A child has no environment and no channel but its pipes; its stderr is drained and kept to a few kilobytes.
// E4  Every job is answered exactly once, also when the engine is closed under it.
import { spawn, type ChildProcessByStdio } from "node:child_process";
import { randomBytes } from "node:crypto";
import { availableParallelism } from "node:os";
import type { Readable, Writable } from "node:stream";
import { systemClock, type Clock } from "@driftless/process/clock";
import {
  actionRequest,
  actionsRequest,
  constraintRequest,
  globsRequest,
  healthRequest,
  jqRequest,
  readReply,
  renderRequest,
  replyPrefixBytes,
  stamp,
  type ActionOutcome,
  type ActionQuestion,
  type ActionsOutcome,
  type ActionsQuestion,
  type ConstraintOutcome,
  type ConstraintQuestion,
  type EngineFailure,
  type EngineReply,
  type GlobsOutcome,
  type GlobsQuestion,
  type HealthQuestion,
  type HealthsOutcome,
  type JqOutcome,
  type JqQuestion,
  type RenderJob,
  type RenderOutcome,
  type RequestFrame,
} from "./protocol.ts";

export interface EngineOptions {
  /** Path of the program; see build.ts. */
  binary: string;
  /** At most so many at once; started when needed. */
  children?: number;
  memoryLimitBytes?: number;
  jobTimeoutMs?: number;
  /** How long a child waits for its next job; each holds some 50 MB. */
  idleTimeoutMs?: number;
  replyBytesMax?: number;
  clock?: Clock;
  /** For the log: why a child was ended during a job, and how its stderr began (never shown to users). */
  onChildLost?: (loss: { reason: string; stderr: string }) => void;
}

export interface Engine {
  render(job: RenderJob): Promise<RenderOutcome>;
  constraint(question: ConstraintQuestion): Promise<ConstraintOutcome>;
  globs(question: GlobsQuestion): Promise<GlobsOutcome>;
  jq(question: JqQuestion): Promise<JqOutcome>;
  /** Health of objects by a script of argocd-cm. */
  health(question: HealthQuestion): Promise<HealthsOutcome>;
  /** Which actions there are for an object. */
  actions(question: ActionsQuestion): Promise<ActionsOutcome>;
  /** What an action would do. */
  action(question: ActionQuestion): Promise<ActionOutcome>;
  /** Asks a child something; `failed` when none can be started. */
  ready(): Promise<{ kind: "ready" } | EngineFailure>;
  /** Pids of the children alive, for tests and diagnosis. */
  pids(): number[];
  close(): Promise<void>;
}

interface Job {
  request: RequestFrame;
  /** Set once a child was killed from outside during this job. */
  retried?: boolean;
  settle: (outcome: EngineReply) => void;
}

interface Child {
  process: ChildProcessByStdio<Writable, Readable, Readable>;
  flight?: { job: Job; id: Buffer; cancelTimer: () => void };
  cancelIdleTimer?: () => void;
  chunks: Buffer[];
  received: number;
  /** Length of the reply under way, 0 while its first four bytes are not here. */
  expected: number;
  stderr: string;
  lost: boolean;
}

const stderrKept = 4096;

export function createEngine(options: EngineOptions): Engine {
  const clock = options.clock ?? systemClock;
  const childrenMax = options.children ?? availableParallelism();
  const memoryLimitBytes = options.memoryLimitBytes ?? 512 * 1024 * 1024;
  const jobTimeoutMs = options.jobTimeoutMs ?? 30_000;
  const idleTimeoutMs = options.idleTimeoutMs ?? 60_000;
  const replyBytesMax = options.replyBytesMax ?? 96 * 1024 * 1024;

  // Questions are answered in microseconds and hold up a fetch, so they pass waiting renders.
  const questions: Job[] = [];
  const renders: Job[] = [];
  const children = new Set<Child>();
  let closed = false;
  let idPool = Buffer.alloc(0);

  function newId(): Buffer {
    if (idPool.length === 0) idPool = randomBytes(4096);
    const id = idPool.subarray(0, 16);
    idPool = idPool.subarray(16);
    return id;
  }

  function submit<T extends EngineReply>(queue: Job[], request: RequestFrame): Promise<T> {
    return new Promise((resolve) => {
      const job: Job = { request, settle: (outcome) => resolve(outcome as T) };
      if (closed) return job.settle(failed("RENDER_FAILED", "The render engine is shutting down."));
      queue.push(job);
      dispatch();
    });
  }

  function dispatch(): void {
    while (questions.length + renders.length > 0) {
      const child = idleChild();
      if (!child) return;
      give(child, questions.shift() ?? renders.shift()!);
    }
  }

  function idleChild(): Child | undefined {
    for (const child of children) if (!child.flight) return child;
    return children.size < childrenMax ? startChild() : undefined;
  }

  function startChild(): Child {
    const started = spawn(options.binary, [`--memory-limit-bytes=${memoryLimitBytes}`], {
      env: {},
      cwd: "/",
      stdio: ["pipe", "pipe", "pipe"],
    });
    const child: Child = { process: started, chunks: [], received: 0, expected: 0, stderr: "", lost: false };
    children.add(child);
    started.on("error", (error) =>
      lose(child, failed("RENDER_FAILED", "The render engine cannot be started."), error.message),
    );
    // "close" rather than "exit": by then stderr is complete, which tells a memory limit from a crash.
    started.on("close", (code, signal) => lose(child, death(child, code, signal), `ended with ${signal ?? code}`));
    started.stdin.on("error", () => {
      // A pipe breaks because the child is gone; "close" tells why.
    });
    started.stdout.on("data", (chunk: Buffer) => receive(child, chunk));
    started.stderr.on("data", (chunk: Buffer) => {
      if (child.stderr.length < stderrKept) child.stderr += chunk.toString("latin1", 0, stderrKept);
    });
    return child;
  }

  function give(child: Child, job: Job): void {
    const id = newId();
    stamp(job.request, id);
    child.stderr = "";
    child.cancelIdleTimer?.();
    const cancelTimer = clock.setTimer(jobTimeoutMs, () =>
      lose(
        child,
        failed("RENDER_LIMIT", `Rendering took longer than ${jobTimeoutMs} ms.`, "time"),
        `no reply in ${jobTimeoutMs} ms`,
      ),
    );
    child.flight = { job, id, cancelTimer };
    child.process.stdin.write(job.request);
  }

  function receive(child: Child, chunk: Buffer): void {
    if (child.lost) return;
    child.chunks.push(chunk);
    child.received += chunk.length;
    if (!child.flight) return garbled(child, "bytes that nobody asked for");
    if (child.expected === 0) {
      if (child.received < 4) return;
      if (child.chunks.length > 1) child.chunks = [Buffer.concat(child.chunks)];
      child.expected = 4 + child.chunks[0]!.readUInt32BE(0);
      if (child.expected > replyBytesMax)
        return lose(
          child,
          failed("RENDER_LIMIT", `The result is larger than ${replyBytesMax} bytes.`, "output"),
          "a reply over its limit",
        );
      if (child.expected < replyPrefixBytes) return garbled(child, "a reply of impossible length");
    }
    if (child.received < child.expected) return;
    if (child.received > child.expected) return garbled(child, "more bytes than the reply has");
    const reply = child.chunks.length === 1 ? child.chunks[0]! : Buffer.concat(child.chunks);
    const outcome = readReply(reply, child.flight.id);
    if (outcome.kind === "garbage") return garbled(child, outcome.message);
    const { job, cancelTimer } = child.flight;
    cancelTimer();
    child.flight = undefined;
    child.chunks = [];
    child.received = child.expected = 0;
    child.cancelIdleTimer = clock.setTimer(idleTimeoutMs, () =>
      lose(child, failed("RENDER_FAILED", "The render engine had nothing to do."), "idle"),
    );
    // The next job goes out before this one's promise runs on: the child works while we do.
    dispatch();
    job.settle(outcome);
  }

  function garbled(child: Child, reason: string): void {
    lose(child, failed("RENDER_FAILED", "The render engine answered with garbage."), reason);
  }

  function lose(child: Child, outcome: EngineFailure, reason: string): void {
    if (child.lost) return;
    child.lost = true;
    children.delete(child);
    child.chunks = [];
    child.cancelIdleTimer?.();
    child.process.kill("SIGKILL");
    const { flight } = child;
    if (flight) {
      flight.cancelTimer();
      options.onChildLost?.({ reason, stderr: child.stderr });
      if (outcome.which === "killed" && !flight.job.retried && !closed)
        renders.unshift({ ...flight.job, retried: true });
      else flight.job.settle(outcome);
    }
    if (!closed) dispatch();
  }

  return {
    render: (job) => submit<RenderOutcome>(renders, renderRequest(job)),
    constraint: (question) => submit<ConstraintOutcome>(questions, constraintRequest(question)),
    globs: (question) => submit<GlobsOutcome>(questions, globsRequest(question)),
    jq: (question) => submit<JqOutcome>(questions, jqRequest(question)),
    health: (question) => submit<HealthsOutcome>(questions, healthRequest(question)),
    actions: (question) => submit<ActionsOutcome>(questions, actionsRequest(question)),
    action: (question) => submit<ActionOutcome>(questions, actionRequest(question)),
    async ready() {
      const outcome = await submit<GlobsOutcome>(questions, globsRequest({ pattern: "*", values: ["x"] }));
      return outcome.kind === "failed" ? outcome : { kind: "ready" };
    },
    pids: () => [...children].flatMap((child) => child.process.pid ?? []),
    async close() {
      closed = true;
      const shutDown = failed("RENDER_FAILED", "The render engine is shutting down.");
      for (const job of [...questions.splice(0), ...renders.splice(0)]) job.settle(shutDown);
      const ends = [...children].map((child) => {
        const ended = new Promise((resolve) => child.process.once("close", resolve));
        lose(child, shutDown, "closed");
        return ended;
      });
      await Promise.all(ends);
    },
  };
}

/** What the end of a child during a job means for that job. */
function death(child: Child, code: number | null, signal: NodeJS.Signals | null): EngineFailure {
  if (/out of memory|cannot allocate memory|stack exceeds/.test(child.stderr))
    return failed("RENDER_LIMIT", "Rendering needed more memory than it may use.", "memory");
  if (/^out of time$/m.test(child.stderr)) return failed("RENDER_LIMIT", "The job could not be interrupted.", "time");
  if (signal === "SIGKILL") return failed("RENDER_LIMIT", "The render engine was killed during this job.", "killed");
  return failed("RENDER_FAILED", `The render engine ended during this job (${signal ?? code}).`);
}

function failed(code: EngineFailure["code"], message: string, which?: string): EngineFailure {
  return which ? { kind: "failed", code, message, which } : { kind: "failed", code, message };
}
