// Progress on standard error: one line that is rewritten on a terminal, a line now and then elsewhere.
import { systemClock } from "@driftless/process/clock";

const QUIET_MS = 10_000;

export interface Progress {
  /** Replaces what is shown as going on. `done` of `total` draws a bar. */
  update(text: string, done?: number, total?: number): void;
  /** Leaves a line behind. */
  say(text: string): void;
  /** Takes the rewritten line away. */
  clear(): void;
}

export function terminalProgress(stream: NodeJS.WriteStream = process.stderr): Progress {
  let shown = "";
  let lastText = "";
  let lastAt = -Infinity;
  const erase = () => {
    if (shown && stream.isTTY) stream.write("\r\x1b[2K");
    shown = "";
  };
  return {
    update(text, done, total) {
      const now = systemClock.monotonic();
      if (!stream.isTTY) {
        // What is in parentheses changes too often for a log; a bar is worth a line now and then.
        if (matterOf(text) === matterOf(lastText) && (!total || now - lastAt < QUIET_MS)) return;
        stream.write(`${progressText(matterOf(text), done, total)}\n`);
      } else {
        if (text === lastText && now - lastAt < 80) return;
        erase();
        shown = progressText(text, done, total).slice(0, (stream.columns || 80) - 1);
        stream.write(shown);
      }
      lastText = text;
      lastAt = now;
    },
    say(text) {
      erase();
      stream.write(`${text}\n`);
    },
    clear: erase,
  };
}

const matterOf = (text: string): string => text.replace(/ \(.*\)$/, "");

export function progressText(text: string, done?: number, total?: number): string {
  if (!total || done === undefined) return `${text} …`;
  const part = Math.min(1, done / total);
  const filled = Math.round(part * 24);
  return `${text}  ${"█".repeat(filled)}${"░".repeat(24 - filled)} ${Math.floor(part * 100)} % (${done}/${total})`;
}
