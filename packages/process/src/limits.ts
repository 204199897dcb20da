// Bounded parallelism inside one process: so many at a time, the rest in order of arrival.

export interface Limit {
  /** Runs `work` as soon as one of the places is free. */
  <T>(work: () => Promise<T>): Promise<T>;
  readonly running: number;
  readonly waiting: number;
}

export function createLimit(places: number): Limit {
  const waiting: (() => void)[] = [];
  let running = 0;
  const limit = async <T>(work: () => Promise<T>): Promise<T> => {
    // A place is handed over directly, so that nobody who comes later can take it in between.
    if (running < places) running++;
    else await new Promise<void>((resolve) => waiting.push(resolve));
    try {
      return await work();
    } finally {
      const next = waiting.shift();
      if (next) next();
      else running--;
    }
  };
  return Object.defineProperties(limit, {
    running: { get: () => running },
    waiting: { get: () => waiting.length },
  }) as Limit;
}

/** A Limit for each key, which is forgotten when nobody uses it: so that one repository or cluster cannot take all. */
export function createKeyedLimit(places: number): <T>(key: string, work: () => Promise<T>) => Promise<T> {
  const limits = new Map<string, Limit>();
  return async (key, work) => {
    const limit = limits.get(key) ?? createLimit(places);
    limits.set(key, limit);
    try {
      return await limit(work);
    } finally {
      if (limit.running === 0 && limit.waiting === 0 && limits.get(key) === limit) limits.delete(key);
    }
  };
}
