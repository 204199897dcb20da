// A progress bar on a terminal, a line now and then elsewhere.
import { SingleBar } from "cli-progress";

export function createProgress(): {
  show(what: string, done: number, total: number): void;
  clear(): void;
  stop(): void;
} {
  if (!process.stderr.isTTY) {
    let last = "";
    return {
      show(what, done, total) {
        // A line for each tenth: a log of thousands of lines helps nobody.
        const line = `${what}: ${Math.floor((done / total) * 10) * 10} %`;
        if (line !== last) console.error(line);
        last = line;
      },
      clear() {},
      stop() {},
    };
  }
  const bar = new SingleBar({
    format: "{what} {bar} {value}/{total} {duration_formatted}",
    clearOnComplete: true,
    hideCursor: true,
    stream: process.stderr,
  });
  let current = "";
  const clear = () => {
    if (current !== "") bar.stop();
    current = "";
  };
  return {
    show(what, done, total) {
      if (current !== what) {
        clear();
        bar.start(total, done, { what });
        current = what;
      }
      bar.update(done, { what });
    },
    clear,
    stop: clear,
  };
}
