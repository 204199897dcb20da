// Judging (edge: asks the engine): observations of a kind whose health a script tells wait here for it, and go on in the
// order in which they came. What comes while the engine works is asked together.
import type { Customizations, KindName } from "@driftless/customizations/customizations";
import type { Observation } from "./seen.ts";

interface Waiting {
  observations: readonly Observation[];
  goOn: () => void;
}

export interface Judging {
  /** `goOn` once the health of these stands in them. */
  push(observations: readonly Observation[], goOn: () => void): void;
}

export function createJudging(options: {
  kind: KindName;
  customizations: Pick<Customizations, "healthsOf">;
  onProblem: (cause: unknown) => void;
}): Judging {
  const { kind, customizations, onProblem } = options;
  let waiting: Waiting[] = [];
  let working = false;

  async function work(): Promise<void> {
    while (waiting.length > 0) {
      const batch = waiting;
      waiting = [];
      const observations = batch.flatMap((one) => one.observations);
      const healths = await customizations.healthsOf(
        kind,
        observations.map(({ object }) => object),
      );
      observations.forEach(({ seen }, index) => {
        if (healths[index]) seen.health = healths[index];
      });
      for (const { goOn } of batch) goOn();
    }
  }

  return {
    push(observations, goOn) {
      waiting.push({ observations, goOn });
      if (working) return;
      working = true;
      work()
        .catch(onProblem)
        .finally(() => {
          working = false;
        });
    },
  };
}
