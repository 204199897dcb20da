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
  ])
    expect(canonicalRepository(url)).toBe("git.example.com/team/app");
});

test("different repositories have different names, and nothing that is no URL throws", () => {
  expect(repositoryHash("https://h/a")).not.toBe(repositoryHash("https://h/b"));
  expect(repositoryHash("https://h/a")).toMatch(/^[0-9a-f]{20}$/);
  for (const url of ["", "%%%", "https://h/%zz", "::", "a:b:c"]) expect(typeof canonicalRepository(url)).toBe("string");
});
