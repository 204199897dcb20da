import { expect, test } from "vitest";
import { POLICY_USUAL } from "./application/policy.ts";
import { parametersOf } from "./command-parameters.ts";

const configMap = (data: Record<string, string>) => ({ data }) as never;

test("without argocd-cmd-params-cm the defaults are Argo CD's, but no pause between waves", () => {
  expect(parametersOf(undefined)).toEqual({ policy: POLICY_USUAL, applicationNamespaces: [], problems: [] });
  expect(POLICY_USUAL).toMatchObject({ heal: { backoffMs: 2_000, factor: 3, capMs: 300_000 }, graceMs: 180_000 });
});

test("what paces syncs and heals is read, in seconds", () => {
  const { policy, problems } = parametersOf(
    configMap({
      "controller.self.heal.timeout.seconds": "5",
      "controller.self.heal.backoff.timeout.seconds": "0",
      "controller.self.heal.backoff.factor": "2",
      "controller.self.heal.backoff.cap.seconds": "60",
      "controller.sync.timeout.seconds": "600",
      "controller.sync.wave.delay.seconds": "2",
      "controller.repo.error.grace.period.seconds": "0",
      "controller.resource.health.persist": "false",
      "controller.diff.server.side": "true",
      "server.insecure": "true",
    }),
  );
  expect(problems).toEqual([]);
  expect(policy).toEqual({
    heal: { timeoutMs: 5_000, backoffMs: 0, factor: 2, capMs: 60_000 },
    syncTimeoutMs: 600_000,
    waveDelayMs: 2_000,
    graceMs: 0,
    persistHealth: false,
  });
});

test("what cannot be read, and what is not honoured, is told by name", () => {
  const { policy, problems } = parametersOf(
    configMap({ "controller.sync.timeout.seconds": "soon", "controller.status.processors": "50" }),
  );
  expect(policy.syncTimeoutMs).toBe(0);
  expect(problems).toEqual([
    'controller.sync.timeout.seconds: "soon" is no number of seconds',
    "controller.status.processors: not honoured",
  ]);
});
