// One name for all spellings of a repository: https, ssh and scp forms of one place, with or without user, port and
// ".git". It picks partition and owner, and finds the repository that a webhook means; it is never used to connect.
import { createHash } from "node:crypto";

/** "https://user@Git.example.com:8443/Team/App.git/" → "git.example.com/team/app". */
export function canonicalRepository(url: string): string {
  const text = url.trim();
  const scp = /^(?:[^/@:]+@)?([^/:]+):(?!\/\/)(.*)$/.exec(text);
  const parsed = scp ? null : URL.parse(text);
  const host = scp ? scp[1]! : (parsed?.hostname ?? "");
  const path = scp ? scp[2]! : (parsed?.pathname ?? text);
  const name = decoded(path)
    .split("/")
    .filter((part) => part !== "")
    .join("/")
    .replace(/\.git$/i, "");
  return (host === "" ? name : `${host}/${name}`).toLowerCase();
}

/** The token for subjects and keys. */
export function repositoryHash(url: string): string {
  return createHash("sha256").update(canonicalRepository(url)).digest("hex").slice(0, 20);
}

function decoded(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}
