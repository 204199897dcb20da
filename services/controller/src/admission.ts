// Admission: how many actors may have work under way at a time. At a start, or after a push that touches everything,
// thousands want to look at once; all commands together would only grow old in the queues, past their deadlines.

export interface Admission<T> {
  /** Runs now if there is room, else in turn. One that is at work already is always let through. */
  admit(id: string, item: T): void;
  busy(id: string, busy: boolean): void;
  forget(id: string): void;
  isWaiting(id: string): boolean;
  readonly active: number;
  readonly waiting: number;
}

export function createAdmission<T>(activeMax: number, run: (id: string, item: T) => void): Admission<T> {
  const active = new Set<string>();
  const waiting = new Map<string, T[]>();

  const next = (): void => {
    for (const [id, items] of waiting) {
      if (active.size >= activeMax) return;
      waiting.delete(id);
      for (const item of items) run(id, item);
    }
  };

  return {
    admit(id, item) {
      const queue = waiting.get(id);
      if (queue) queue.push(item);
      else if (active.has(id) || active.size < activeMax) run(id, item);
      else waiting.set(id, [item]);
    },
    busy(id, busy) {
      if (busy) active.add(id);
      else if (active.delete(id)) next();
    },
    forget(id) {
      waiting.delete(id);
      if (active.delete(id)) next();
    },
    isWaiting: (id) => waiting.has(id),
    get active() {
      return active.size;
    },
    get waiting() {
      return waiting.size;
    },
  };
}
