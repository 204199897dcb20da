// Configuration from the environment.
import { expect, test } from "vitest";
import { ConfigError, readConfig } from "./config.ts";

test("an empty environment gives what a single machine needs", () => {
  expect(readConfig({})).toMatchObject({
    natsUrl: "nats://127.0.0.1:4222",
    namespace: "argocd",
    apiHost: "127.0.0.1",
    observe: false,
    kubeconfig: undefined,
  });
  expect(readConfig({ DRIFTLESS_API_PORT: "", DRIFTLESS_OBSERVE: "true" })).toMatchObject({
    apiPort: 8080,
    observe: true,
  });
});

test("every wrong variable is named, and no value is", () => {
  const read = () => readConfig({ DRIFTLESS_API_PORT: "http-s3cret", DRIFTLESS_LOG_LEVEL: "loud" });
  expect(read).toThrow(ConfigError);
  expect(read).toThrow(/DRIFTLESS_API_PORT: .*\nDRIFTLESS_LOG_LEVEL: /);
  expect(read).not.toThrow(/s3cret/);
});
