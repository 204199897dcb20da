// Everything that is said, in one list: provisioning, documentation and tests read it.
import type { MessageDefinition } from "./message.ts";
import * as refresh from "./pipeline/1-refresh.ts";
import * as fetch from "./pipeline/2-fetch.ts";
import * as render from "./pipeline/3-render.ts";
import * as diff from "./pipeline/4-diff.ts";
import * as sync from "./pipeline/5-sync.ts";
import * as application from "./pipeline/6-application.ts";
import * as actions from "./actions.ts";

function isDefinition(value: unknown): value is MessageDefinition {
  return typeof value === "object" && value !== null && "subject" in value && "schema" in value && "kind" in value;
}

export const MESSAGES: ReadonlyMap<string, MessageDefinition> = new Map(
  [refresh, fetch, render, diff, sync, application, actions]
    .flatMap((hop) => Object.values(hop))
    .filter(isDefinition)
    .map((definition) => [definition.name, definition]),
);
