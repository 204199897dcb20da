// Metrics of the controller.
import { Counter, Gauge, Histogram, type Registry } from "@driftless/process/telemetry";
import type { Effect } from "./application/effects.ts";

export interface ControllerMetrics {
  measure(effect: Extract<Effect, { kind: "measure" }>): void;
  transition(from: string, to: string): void;
  write(outcome: string): void;
}

export function controllerMetrics(
  registry: Registry,
  read: { apps(): number; active(): number; waiting(): number; conditionCodes(): Map<string, number> },
): ControllerMetrics {
  const registers = [registry];
  const transitions = new Counter({
    name: "driftless_transitions_total",
    help: "Changes of state of Applications",
    labelNames: ["from", "to"],
    registers,
  });
  const ended = new Counter({
    name: "driftless_passes_total",
    help: "Passes and operations that ended, by result",
    labelNames: ["what", "result"],
    registers,
  });
  const hops = new Histogram({
    name: "driftless_hop_seconds",
    help: "Time from asking a hop to its answer",
    labelNames: ["what", "hop"],
    buckets: [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60],
    registers,
  });
  const writes = new Counter({
    name: "driftless_application_writes_total",
    help: "Writes of Applications, by outcome",
    labelNames: ["outcome"],
    registers,
  });
  const gauge = (name: string, help: string, value: () => number) =>
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(value());
      },
    });
  gauge("driftless_applications", "Applications of this replica", read.apps);
  gauge("driftless_applications_active", "Applications with requests outstanding", read.active);
  gauge("driftless_applications_waiting", "Applications that wait for their turn to look", read.waiting);
  new Gauge({
    name: "driftless_application_conditions",
    help: "Conditions shown, by code",
    labelNames: ["code"],
    registers,
    collect() {
      this.reset();
      for (const [code, count] of read.conditionCodes()) this.set({ code }, count);
    },
  });
  return {
    measure({ what, result, seconds }) {
      ended.inc({ what, result });
      for (const [hop, value] of Object.entries(seconds)) hops.observe({ what, hop }, value);
    },
    transition: (from, to) => transitions.inc({ from, to }),
    write: (outcome) => writes.inc({ outcome }),
  };
}
