import { expect, test } from "vitest";
import { checkHostKey, keyType, knownKeys } from "./known-hosts.ts";
import { isSshUrl, parseSshUrl } from "./ssh.ts";

const ed25519 = "AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";
const key = Buffer.from(ed25519, "base64");

test("a line is found by name, port, pattern and hash, and says which kind of key to ask for", () => {
  const check = (line: string, host = "github.com", port = 22) => checkHostKey(line, host, port, key).kind;
  expect(check(`github.com ssh-ed25519 ${ed25519}`)).toBe("known");
  expect(check(`GitHub.com,140.82.121.4 ssh-ed25519 ${ed25519} a remark`)).toBe("known");
  expect(check(`*.com,!github.com ssh-ed25519 ${ed25519}`)).toBe("unknown");
  expect(check(`git???.com ssh-ed25519 ${ed25519}`)).toBe("known");
  expect(check(`[github.com]:22 ssh-ed25519 ${ed25519}`)).toBe("unknown");
  expect(check(`[github.com]:2222 ssh-ed25519 ${ed25519}`, "github.com", 2222)).toBe("known");
  expect(check(`github.com ssh-ed25519 ${ed25519.slice(0, -4)}AAAA`)).toBe("changed");
  expect(check("")).toBe("unknown");
  expect(check(`\n# github.com\ngithub.com ssh-ed25519\n|1|x ssh-ed25519 ${ed25519}\n|1||| a b`)).toBe("unknown");
  expect(knownKeys(`github.com ssh-ed25519 ${ed25519}`, "github.com", 22)[0]?.type).toBe("ssh-ed25519");
  expect(keyType(key)).toBe("ssh-ed25519");
  expect([keyType(Buffer.alloc(0)), keyType(Buffer.from("ffffffff", "hex"))]).toEqual(["", ""]);
});

test("a pattern made to keep a matcher busy does not", () => {
  const line = `${"*a".repeat(200)}b ssh-ed25519 ${ed25519}`;
  const started = performance.now();
  expect(checkHostKey(line, "a".repeat(250), 22, key).kind).toBe("unknown");
  expect(performance.now() - started).toBeLessThan(500);
});

test("an SSH repository is named in both usual ways", () => {
  expect(parseSshUrl("git@github.com:team/app.git")).toEqual({
    user: "git",
    host: "github.com",
    port: 22,
    path: "team/app.git",
  });
  expect(parseSshUrl("ssh://me@Forge.example.com:2222/~u/app/")).toEqual({
    user: "me",
    host: "forge.example.com",
    port: 2222,
    path: "~u/app",
  });
  for (const url of ["https://h/r", "http://git@h:80/r", "/x", "h:r"]) expect(isSshUrl(url), url).toBe(false);
});

test.each([
  "ssh://-oProxyCommand=touch/r",
  "ssh://h$(id)/r",
  "ssh://u:CANARY@h/r",
  "ssh://h/r?CANARY",
  "ssh://h/",
  "ssh://h/%00",
  "ssh://169.254.169.254/r",
  "ssh://[fe80::1]/r",
  "git@-oProxyCommand=x:r",
  "git@h:-u/r",
  "git@h:--upload-pack=x",
  "-o@h:r",
])("%s is refused before anything is asked, without showing what it holds", (url) => {
  expect(isSshUrl(url)).toBe(true);
  expect(() => parseSshUrl(url)).toThrow(
    expect.objectContaining({ code: "REPO_URL_DENIED", message: expect.not.stringContaining("CANARY") }),
  );
});
