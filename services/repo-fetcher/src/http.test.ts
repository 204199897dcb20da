import { expect, test } from "vitest";
import { addressDenied } from "./addresses.ts";
import { checkRepositoryUrl, displayUrl } from "./http.ts";

test.each([
  "ext::sh -c id",
  "file:///etc/passwd",
  "git://h/r",
  "ssh://-oProxyCommand=x/r",
  "git@h:r",
  "--upload-pack=x",
  "/x?http://h",
  "http://169.254.169.254/latest",
  "http://[fe80::1]/r",
  "http://[::ffff:169.254.169.254]/r",
  "http://0xa9fea9fe/r",
  "http://2852039166/r",
  "http://100.100.100.200/r",
  "https://h/r?token=1",
])("%s is refused before anything is asked", (url) => {
  expect(() => checkRepositoryUrl(url)).toThrow(expect.objectContaining({ code: "REPO_URL_DENIED" }));
});

test("private and loopback addresses are where companies have their Git", () => {
  for (const url of [
    "https://h/r.git/",
    "http://127.0.0.1:3000/r",
    "http://10.0.0.1/r",
    "http://[::1]/r",
    "http://192.168.1.1/r",
  ])
    expect(checkRepositoryUrl(url).href).not.toMatch(/\/$/);
});

test("an address is judged in every way it can be written", () => {
  for (const address of ["169.254.0.1", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "fd00:ec2::254", "nonsense"])
    expect(addressDenied(address), address).toBe(true);
  for (const address of ["127.0.0.1", "::1", "::ffff:10.0.0.1", "8.8.8.8"])
    expect(addressDenied(address), address).toBe(false);
});

test("H4: a URL with a password is refused without showing it, and shown URLs have no userinfo or query", () => {
  expect(() => checkRepositoryUrl("https://u:CANARY@h/r?CANARY#CANARY")).toThrow(
    expect.objectContaining({ message: expect.not.stringContaining("CANARY") }),
  );
  expect(displayUrl("https://u:CANARY@h:1/r?CANARY")).toBe("https://h:1/r");
  expect(displayUrl("CANARY@h:r?CANARY")).toBe("h:r");
});
