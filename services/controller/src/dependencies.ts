// Dependencies: who depends on whom among all Applications, whichever replica's they are, and whether those that somebody
// depends on are ready. Of an Application on which nobody depends nothing is asked and nothing kept.
import { cycleThrough, type Awaited } from "./application/depends-on.ts";

export interface Dependencies {
  /** What an Application names; says whether that is something else than before. */
  set(name: string, dependsOn: readonly string[]): boolean;
  /** Something may have changed about it; says whether its dependents have to know. */
  refresh(name: string): boolean;
  dependentsOf(name: string): readonly string[];
  /** All that depend on something. */
  dependents(): readonly string[];
  of(name: string): Awaited | undefined;
}

/** `stateOf`: why an Application is not ready; undefined when it is. */
export function createDependencies(stateOf: (name: string) => string | undefined): Dependencies {
  const named = new Map<string, readonly string[]>();
  const dependents = new Map<string, Set<string>>();
  /** What the dependents know, so that none of them is left with another. */
  const states = new Map<string, string | undefined>();

  const link = (name: string, dependency: string): void => {
    const others = dependents.get(dependency);
    if (others) others.add(name);
    else {
      dependents.set(dependency, new Set([name]));
      states.set(dependency, stateOf(dependency));
    }
  };

  const unlink = (name: string, dependency: string): void => {
    const others = dependents.get(dependency);
    others?.delete(name);
    if (others?.size !== 0) return;
    dependents.delete(dependency);
    states.delete(dependency);
  };

  return {
    set(name, dependsOn) {
      const before = named.get(name) ?? [];
      if (before.join() === dependsOn.join()) return false;
      for (const dependency of before) unlink(name, dependency);
      for (const dependency of dependsOn) link(name, dependency);
      if (dependsOn.length > 0) named.set(name, dependsOn);
      else named.delete(name);
      return true;
    },
    refresh(name) {
      if (!dependents.has(name)) return false;
      const state = stateOf(name);
      if (state === states.get(name)) return false;
      states.set(name, state);
      return true;
    },
    dependentsOf: (name) => [...(dependents.get(name) ?? [])],
    dependents: () => [...named.keys()],
    of(name) {
      const dependsOn = named.get(name);
      if (!dependsOn) return undefined;
      const cycle = cycleThrough(name, (one) => named.get(one) ?? []);
      // Nothing that they become would end it.
      if (cycle) return { blockers: [], cycle };
      const blockers = dependsOn.flatMap((one) => {
        const state = states.get(one);
        return state === undefined ? [] : [`${one} (${state})`];
      });
      return { blockers };
    },
  };
}
