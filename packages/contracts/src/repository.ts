// One name for all spellings of a repository: https, ssh and scp forms of one place, with or without user, port and
// ".git". It picks partition and owner, and finds the repository that a webhook means; it is never used to connect.
import { createHash } from "node:crypto";

/** SSH through port 443 has a host of its own at GitHub, GitLab, Bitbucket; and Argo CD reads these as one place too. */
const SSH_HOST = /^(?:alt)?ssh\./i;

/** "https://user@Git.example.com:8443/Team/App.git/" → "git.example.com/team/app". */
export function canonicalRepository(url: string): string {
  const text = url.trim();
  const scp = /^(?:[^/@:]+@)?([^/:]+):(?!\/\/)(.*)$/.exec(text);
  const parsed = scp ? null : URL.parse(text);
  const host = (scp ? scp[1]! : (parsed?.hostname ?? "")).replace(SSH_HOST, "");
  // A registry is named without a scheme, and "registry:5000/charts" is no scp form.
  const path = scp ? scp[2]!.replace(text.includes("@") ? "" : /^\d+\//, "") : (parsed?.pathname ?? text);
  const name = decoded(path)
    .split("/")
    .filter((part) => part !== "")
    .join("/")
    .replace(/\.git$/i, "");
  return ofAzure(host === "" ? name : `${host}/${name}`).toLowerCase();
}

/** Over SSH Azure DevOps writes "v3/organisation/project/repository", over https "…/project/_git/repository". */
const ofAzure = (name: string): string =>
  name.replace(/^(dev\.azure\.com)\/v3\/([^/]+\/[^/]+)\/([^/]+)$/i, "$1/$2/_git/$3");

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
