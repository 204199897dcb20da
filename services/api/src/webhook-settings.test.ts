import { expect, test } from "vitest";
import { bytesMaxOf, secretsOf } from "./webhook-settings.ts";

const encoded = (data: Record<string, string>) =>
  Object.fromEntries(Object.entries(data).map(([key, value]) => [key, Buffer.from(value).toString("base64")]));

test("a secret may name another key, an empty one is none, and Azure DevOps has user and password", () => {
  const data = encoded({
    "webhook.github.secret": "$shared",
    shared: "s",
    "webhook.gitlab.secret": "",
    "webhook.azuredevops.username": "argo",
    "webhook.azuredevops.password": "p",
  });
  expect(secretsOf(data)).toEqual({ github: "s", azuredevops: "argo:p" });
});

test("webhook.maxPayloadSizeMB is honoured up to 32 MB; nonsense is as good as nothing", () => {
  expect(bytesMaxOf({ "webhook.maxPayloadSizeMB": "2" })).toBe(2 * 1024 * 1024);
  expect(bytesMaxOf({ "webhook.maxPayloadSizeMB": "5000" })).toBe(32 * 1024 * 1024);
  for (const text of ["", "0", "-1", "many"]) expect(bytesMaxOf({ "webhook.maxPayloadSizeMB": text })).toBeUndefined();
});
