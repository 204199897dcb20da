// Which process is meant by a pid written down earlier. Pids are reused, so a pid is never trusted alone: it goes
// with the moment the process began, and nothing is ended unless both still agree.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";

export interface ProcessIdentity {
  pid: number;
  /** When it began, in the system's own words; only ever compared for being equal. */
  began: string;
}

export function identityOf(pid: number): ProcessIdentity {
  return { pid, began: beginning(pid) ?? "" };
}

export function isAlive(identity: ProcessIdentity): boolean {
  return identity.began !== "" && beginning(identity.pid) === identity.began;
}

function beginning(pid: number): string | undefined {
  if (process.platform === "linux") {
    try {
      const line = readFileSync(`/proc/${pid}/stat`, "utf8");
      // The second field is the program's name in parentheses and may hold anything: count from the last one.
      const fields = line.slice(line.lastIndexOf(")") + 2).split(" ");
      const [state, ticksSinceBoot] = [fields[0], fields[19]];
      // A zombie has ended; only its parent has not noticed.
      if (state === "Z" || state === "X") return undefined;
      return `${ticksSinceBoot} ${bootId()}`;
    } catch {
      return undefined;
    }
  }
  try {
    const began = execFileSync("ps", ["-o", "lstart=", "-p", String(pid)], { encoding: "utf8" }).trim();
    return began === "" ? undefined : began;
  } catch {
    return undefined;
  }
}

let knownBootId: string | undefined;
function bootId(): string {
  knownBootId ??= readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  return knownBootId;
}
