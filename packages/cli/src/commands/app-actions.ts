// `driftless app actions list|run`: which actions the objects of an Application have, and having one of them done.
import { randomUUID } from "node:crypto";
import { userInfo } from "node:os";
import type { Bus } from "@driftless/bus/connect";
import { follow, on } from "@driftless/bus/consume";
import { ActionEnded, ActionRequested } from "@driftless/contracts/actions";
import { failureText } from "@driftless/contracts/failure";
import type { MessageOf } from "@driftless/contracts/message";
import { STREAMS } from "@driftless/contracts/streams";
import { systemClock } from "@driftless/process/clock";
import { appName, type AppName } from "../applications.ts";
import { CliError, usageError } from "../cli-error.ts";
import { namespaceOf, withBus, type ConnectionOptions } from "../connection.ts";
import { say, sayJson, sayTable, type Output } from "../output.ts";

interface ActionsOptions extends ConnectionOptions {
  group?: string;
  kind: string;
  namespace?: string;
  resourceName?: string;
  param?: string[];
  timeout: number;
  output: Output;
}

export async function appActionsList(text: string, options: ActionsOptions): Promise<void> {
  const { objects } = await asked(text, options);
  if (options.output === "json") return sayJson(objects);
  const rows = objects.flatMap(({ group, kind, namespace, name, actions }) =>
    actions.map((action) => [
      group,
      kind,
      namespace,
      name,
      action.name,
      action.disabled ? "yes" : "no",
      (action.params ?? []).map((parameter) => parameter.name).join(","),
    ]),
  );
  if (options.output === "name") return rows.forEach((row) => say(row[4]));
  sayTable(["GROUP", "KIND", "NAMESPACE", "NAME", "ACTION", "DISABLED", "PARAMS"], rows);
}

export async function appActionsRun(text: string, action: string, options: ActionsOptions): Promise<void> {
  const { changed } = await asked(text, options, action);
  if (options.output === "json") return sayJson(changed);
  for (const { message } of changed) say(message);
}

async function asked(text: string, options: ActionsOptions, action?: string): Promise<MessageOf<typeof ActionEnded>> {
  const name = appName(text, await namespaceOf(options));
  const { group, kind, namespace, resourceName } = options;
  const parameters = Object.fromEntries((options.param ?? []).map(parameterOf));
  const resource = { group, kind, namespace, name: resourceName };
  const ended = await withBus(options, (bus) =>
    ask(bus, name, { resource, action, parameters, by: userInfo().username }, options.timeout),
  );
  if (ended.failure) throw new CliError(failureText(ended.failure));
  return ended;
}

function parameterOf(text: string): [string, string] {
  const equals = text.indexOf("=");
  if (equals < 1) throw usageError(`${JSON.stringify(text)} is no parameter (NAME=VALUE)`);
  return [text.slice(0, equals), text.slice(equals + 1)];
}

async function ask(
  bus: Bus,
  { namespace, name }: AppName,
  question: Pick<MessageOf<typeof ActionRequested>, "resource" | "action" | "parameters" | "by">,
  timeoutMs: number,
): Promise<MessageOf<typeof ActionEnded>> {
  const requestId = randomUUID();
  const answer = Promise.withResolvers<MessageOf<typeof ActionEnded>>();
  const nobody = `Nobody answered for ${namespace}/${name}: is there such an Application, and does the controller run?`;
  const cancel = systemClock.setTimer(timeoutMs, () => answer.reject(new CliError(nobody)));
  const following = await follow(bus, {
    stream: STREAMS.actions,
    filters: [ActionEnded.subject({ namespace, name } as MessageOf<typeof ActionEnded>)],
    handlers: [on(ActionEnded, async (ended) => void (ended.requestId === requestId && answer.resolve(ended)))],
    from: "new",
  });
  try {
    await bus.publish(ActionRequested, { namespace, name, requestId, ...question });
    return await answer.promise;
  } finally {
    cancel();
    await following.stop();
  }
}
