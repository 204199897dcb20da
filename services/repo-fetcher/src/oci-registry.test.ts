import { expect, test } from "vitest";
import { realmBelongs, registryUrl } from "./oci-registry.ts";

test.each([
  ["https://registry.example.com", "https://registry.example.com/token", true],
  ["https://registry-1.docker.io", "https://auth.docker.io/token", true],
  ["https://registry.gitlab.com", "https://gitlab.com/jwt/auth", true],
  ["https://registry.example.co.uk", "https://gitlab.example.co.uk/jwt", true],
  ["https://10.0.0.1:5000", "https://10.0.0.1:5001/token", true],
  ["https://registry.example.com", "http://registry.example.com/token", false],
  ["https://registry.example.com", "https://evil.example.org/token", false],
  ["https://registry.example.com", "https://registry.example.com.evil.org/token", false],
  ["https://example.co.uk", "https://evil.co.uk/token", false],
  ["https://example.com", "https://evil.com/token", false],
  ["https://10.0.0.1", "https://10.0.0.2/token", false],
  ["https://localhost", "https://other/token", false],
])("a token server: %s may send its credentials to %s: %s", (registry, realm, allowed) => {
  expect(realmBelongs(new URL(registry), new URL(realm))).toBe(allowed);
});

test("a registry is named with or without oci://, and nothing else", () => {
  expect(registryUrl("oci://h:5000/a/b").href).toBe("https://h:5000/a/b");
  expect(registryUrl("oci://docker.io/team/a").href).toBe("https://registry-1.docker.io/team/a");
  expect(registryUrl("h/a", true).href).toBe("http://h/a");
  for (const url of ["http://h/a", "oci://u:CANARY@h/a", "oci://169.254.169.254/a", "oci://h/a?x=CANARY", "oci://"])
    expect(() => registryUrl(url)).toThrow(expect.objectContaining({ code: "REPO_URL_DENIED" }));
});
