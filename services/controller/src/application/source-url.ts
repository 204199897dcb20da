// URLs of repositories as AppProjects compare them (pure): lower case, without `.git`, the scp form as a path. Unlike
// `canonicalRepository`, scheme, user and port count: whoever allows https://host/* has not allowed http.

const SSH = /^(ssh:\/\/)?([^/:]*?)@[^@]+$/;

export function normalSourceUrl(url: string): string {
  let text = url.trim().toLowerCase();
  if (SSH.test(text) && !text.startsWith("ssh://")) text = `ssh://${text.replace(":", "/")}`;
  return text.replace(/\.git$/, "").replace(/^ssh:\/\//, "");
}

/**
 * Why Argo CD reads another thing than what is written, or undefined. It parses the pattern as a URL: what is no URL then
 * matches nothing (and behind a `!` lets everything through), and what has to be escaped takes the `*` along.
 */
export function wrongSourcePattern(pattern: string): string | undefined {
  const text = pattern.trim();
  if (/[^\w.~!$&'()*+,;=:@/%[\]?#-]/.test(text)) return "has a character that stands for itself only escaped in a URL";
  if (SSH.test(text.toLowerCase())) return undefined;
  const scheme = /^[a-z][a-z0-9+.-]*:/i.exec(text);
  if (!scheme) return /^[^/]*:/.test(text) ? "has a `:` before any `/`, so it is no URL" : undefined;
  const host = /^\/\/(?:[^/?#]*@)?([^/?#]*)/.exec(text.slice(scheme[0].length))?.[1] ?? "";
  if (/[[\]]/.test(host)) return "has a `[` in its host, so it is no URL";
  return /:(?!\d*$)/.test(host) ? "has a port that is no number, so it is no URL" : undefined;
}
