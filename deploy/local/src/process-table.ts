// Which of the system's processes are parts of a state directory, for when its own records cannot be read. Good enough to
// refuse something, not to end a process: that takes an identity (process-identity.ts).
import { execFile } from "node:child_process";
import path from "node:path";
import { promisify } from "node:util";

export interface ProcessOfState {
  pid: number;
  parent: number;
}

const programs = /(^|\/)(driftless-local|nats-server|kwok|etcd|kube-apiserver)$/;

/** All parts name a file or folder of it in their arguments, and are one of these programs. */
export async function processesUsing(home: string): Promise<ProcessOfState[]> {
  const { stdout } = await promisify(execFile)("ps", ["-axww", "-o", "pid=,ppid=,args="], {
    maxBuffer: 64 * 1024 * 1024,
  }).catch(() => ({ stdout: "" }));
  return stdout.split("\n").flatMap((line) => {
    const [, pid, parent, command = ""] = /^\s*(\d+)\s+(\d+)\s+(.*)$/.exec(line) ?? [];
    const [program = ""] = command.split(" ");
    if (!programs.test(program) || !command.includes(`${path.resolve(home)}/`)) return [];
    return [{ pid: Number(pid), parent: Number(parent) }];
  });
}
