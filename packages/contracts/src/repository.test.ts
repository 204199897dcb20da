import { expect, test } from "vitest";
import { canonicalRepository, repositoryHash } from "./repository.ts";

test("all spellings of one repository have one name", () => {
  for (const url of [
    "https://git.example.com/Team/App.git",
    "https://user:secret@GIT.example.com:8443/team/app/",
    "http://git.example.com//team/app.git",
    "ssh://git@git.example.com:22/team/app.git",
    "git@git.example.com:team/app.git",
    "git.example.com:team/app",
    "ssh://git@ssh.git.example.com:443/team/app.git",
    "git@altssh.git.example.com:team/app",
  ])
    expect(canonicalRepository(url)).toBe("git.example.com/team/app");
});

test("Azure DevOps' two forms are one repository", () => {
  const https = "https://acme@dev.azure.com/acme/My%20Project/_git/Shop";
  expect(canonicalRepository("git@ssh.dev.azure.com:v3/acme/My%20Project/Shop")).toBe(canonicalRepository(https));
  expect(canonicalRepository(https)).toBe("dev.azure.com/acme/my project/_git/shop");
});

test("a registry has one name with scheme and without, whatever its port", () => {
  for (const url of ["oci://registry.example.com:5000/charts", "registry.example.com:5000/charts"])
    expect(canonicalRepository(url)).toBe("registry.example.com/charts");
});

test("different repositories have different names, and nothing that is no URL throws", () => {
  expect(repositoryHash("https://h/a")).not.toBe(repositoryHash("https://h/b"));
  expect(repositoryHash("https://h/a")).toMatch(/^[0-9a-f]{20}$/);
  for (const url of ["", "%%%", "https://h/%zz", "::", "a:b:c"]) expect(typeof canonicalRepository(url)).toBe("string");
});
