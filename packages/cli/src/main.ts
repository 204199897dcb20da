// The driftless command: its commands, options and exit codes. Each command is a file in commands/.
import { Command, CommanderError, Option } from "commander";
import packageJson from "../package.json" with { type: "json" };
import { CliError, EXIT } from "./cli-error.ts";
import { count, durationMs, OUTPUTS } from "./output.ts";

const WAIT_USUAL = "5m";

const kubeconfig = () =>
  new Option("--kubeconfig <file>", "cluster of your own (or DRIFTLESS_KUBECONFIG); KUBECONFIG is never read");
const nats = () => new Option("--nats <url>", "NATS server of your own (or DRIFTLESS_NATS_URL)");
const appNamespace = () =>
  new Option("-n, --app-namespace <namespace>", "where the Applications are (default: argocd)");
const timeout = (usual = WAIT_USUAL) =>
  new Option("--timeout <duration>", "how long to wait").argParser(durationMs).default(durationMs(usual), usual);
const output = (...choices: string[]) =>
  new Option("-o, --output <format>", "how to print it").choices(choices).default(choices[0]);

const program = new Command("driftless")
  .description("Keeps Kubernetes clusters equal to what Git says.")
  .version(packageJson.version, "--version", "the version of this clone")
  .helpCommand(false)
  .configureHelp({ showGlobalOptions: true })
  .addHelpText(
    "after",
    `
Exit codes: 0 done; 1 failed, or (app diff, observe) there are differences; 2 wrong usage, or (app diff, observe) it
cannot be told. Whoever interrupts a wait leaves the operation running.`,
  )
  .exitOverride();

// Each command's code is loaded when it is run: the Kubernetes client alone takes a second on a slow machine.
program
  .command("start [unexpected...]")
  .description("run everything in the foreground and show transitions live, until Ctrl-C (npm start)")
  .addOption(kubeconfig())
  .addOption(nats())
  .addOption(appNamespace())
  .option("--observe", "beside a running Argo CD: compare and tell, write nothing to any cluster")
  .action(async (extra, options) => (await import("./commands/start.ts")).start(extra, options));

program
  .command("up [unexpected...]")
  .description("run everything in the background; returns when it is ready")
  .addOption(kubeconfig())
  .addOption(nats())
  .addOption(appNamespace())
  .addOption(output("text", "json"))
  .option("--observe", "beside a running Argo CD: compare and tell, write nothing to any cluster")
  .action(async (extra, options) => (await import("./commands/up.ts")).up(extra, options));

program
  .command("down")
  .description("end what runs here and remove its data")
  .option("--keep-data", "leave cluster, streams and repositories for the next start")
  .action(async (options) => (await import("./commands/down.ts")).down(options));

program
  .command("env")
  .description('print what a shell needs: eval "$(npx driftless env)"')
  .addOption(output("shell", "json"))
  .action(async (options) => (await import("./commands/env.ts")).env(options));

program
  .command("status")
  .description("what runs here, and whether it is ready")
  .addOption(output("text", "json"))
  .action(async (options) => (await import("./commands/status.ts")).status(options));

program
  .command("watch [app]")
  .description("transitions live, with cause, fields and milliseconds per hop; of an app that is not there yet, too")
  .addOption(kubeconfig())
  .addOption(nats())
  .addOption(appNamespace())
  .addOption(new Option("--since <duration>", "begin so far back").argParser(durationMs))
  .addOption(output("text", "json"))
  .action(async (app, options) => (await import("./commands/watch.ts")).watch(app, options));

program
  .command("observe [app]")
  .description("of what runs with --observe: where Driftless would judge or act differently from Argo CD")
  .addOption(nats())
  .addOption(appNamespace())
  .addOption(output("text", "json"))
  .action(async (app, options) => (await import("./commands/observe.ts")).observe(app, options));

const many = (text: string, before: string[] = []) => [...before, text];
program
  .command("render <path>")
  .description("what a directory of a working tree renders to: plain files, Helm, Kustomize, Jsonnet")
  .option("--name <name>", "the Application's, and so Helm's release (default: the directory's)")
  .option("--namespace <namespace>", "the destination's (default: default)")
  .option("--helm-set <name=value>", "a Helm parameter; may be repeated", many)
  .option("--values <file>", "a value file, relative to the chart; may be repeated", many)
  .option("--kube-version <version>", "the cluster's, for charts that ask for it (default: what helm template says)")
  .option("--api-version <name>", "group/version or group/version/Kind that the cluster serves; may be repeated", many)
  .addOption(output("yaml", "json"))
  .action(async (path, options) => (await import("./commands/render.ts")).render(path, options));

const webhook = program.command("webhook").description("webhooks: deliveries").helpCommand(false);
webhook
  .command("deliveries")
  .description("what was pushed, which Applications follow it, which look again, and why when none does")
  .addOption(nats())
  .addOption(new Option("--limit <count>", "how many of the newest").argParser(count).default(20))
  .addOption(output("text", "json"))
  .action(async (options) => (await import("./commands/webhook-deliveries.ts")).webhookDeliveries(options));

const app = program
  .command("app")
  .description("Applications: list, get, diff, refresh, sync, wait, history, rollback …")
  .helpCommand(false);

/** Options that all commands about Applications take. */
const about = (command: Command) =>
  command
    .addOption(kubeconfig())
    .addOption(nats())
    .addOption(appNamespace())
    .addOption(output(...OUTPUTS));

about(app.command("list").alias("ls").description("all Applications of the namespace"))
  .option("-l, --selector <labels>", "those with these labels")
  .action(async (options) => (await import("./commands/app-list.ts")).appList(options));

about(app.command("get <name>").description("one Application: conditions, operation, resources, history")).action(
  async (name, options) => (await import("./commands/app-get.ts")).appGet(name, options),
);

about(app.command("diff <name>").description("which fields differ, after a fresh look"))
  .option("--no-refresh", "show what is known already")
  .addOption(timeout("1m"))
  .action(async (name, options) => (await import("./commands/app-diff.ts")).appDiff(name, options));

about(app.command("refresh <name>").description("look at Git and cluster now"))
  .option("--hard", "also forget cached manifests")
  .addOption(timeout("1m"))
  .action(async (name, options) => (await import("./commands/app-refresh.ts")).appRefresh(name, options));

about(app.command("sync <name>").description("make the cluster as Git says, and show it by phase and wave until done"))
  .option("--revision <revision>", "another commit, branch or tag than the Application's")
  .option("--prune", "also delete what Git no longer has")
  .option("--dry-run", "only ask the API server what would happen")
  .option("--resource <group:kind:name>", "only this object, as GROUP:KIND:[NAMESPACE/]NAME; may be repeated", many)
  .addOption(new Option("--strategy <strategy>", "apply: without hooks").choices(["hook", "apply"]))
  .option("--force", "replace what cannot be changed otherwise")
  .option("--sync-option <option>", "instead of the Application's own, as Key=Value; may be repeated", many)
  .addOption(new Option("--retry-limit <count>", "how often to try again").argParser(count))
  .option("--retry-backoff-duration <duration>", "first pause between tries, as 5s")
  .option("--retry-backoff-max-duration <duration>", "longest pause between tries, as 3m")
  .addOption(new Option("--retry-backoff-factor <factor>", "by what each pause is longer").argParser(count))
  .option("--retry-refresh", "each try takes what is newest then")
  .option("--async", "only ask for it")
  .addOption(timeout())
  .action(async (name, options) => (await import("./commands/app-sync.ts")).appSync(name, options));

about(app.command("terminate <name>").description("end the operation that is running"))
  .option("--async", "only ask for it")
  .addOption(timeout("1m"))
  .action(async (name, options) => (await import("./commands/app-terminate.ts")).appTerminate(name, options));

about(app.command("history <name>").description("what was deployed when, by whom; the ids for rollback")).action(
  async (name, options) => (await import("./commands/app-history.ts")).appHistory(name, options),
);

about(
  app
    .command("rollback <name>")
    .argument("[id]", "of `app history`; without it the one before the newest", count)
    .description("sync what was deployed before; an automated app stays there until the pin ends"),
)
  .addOption(
    new Option("--pin <duration>", "how long an automated app stays there")
      .argParser(durationMs)
      .default(durationMs("1d"), "1d"),
  )
  .option("--prune", "also delete what was not there then")
  .option("--dry-run", "only ask the API server what would happen")
  .option("--async", "only ask for it")
  .addOption(timeout())
  .action(async (name, id, options) => (await import("./commands/app-rollback.ts")).appRollback(name, id, options));

about(app.command("delete <name>").description("delete an Application, and its objects unless --cascade=false"))
  .addOption(
    new Option("--cascade <how>", "foreground, background, or false: its objects stay")
      .choices(["foreground", "background", "false"])
      .default("foreground"),
  )
  .option("-y, --yes", "do not ask")
  .option("--async", "only ask for it")
  .addOption(timeout())
  .action(async (name, options) => (await import("./commands/app-delete.ts")).appDelete(name, options));

about(app.command("resources <name>").description("its objects with sync status and health"))
  .option("--tree", "with what controllers made of them: ReplicaSets, Pods, Jobs …")
  .action(async (name, options) => (await import("./commands/app-resources.ts")).appResources(name, options));

app
  .command("manifests <name>")
  .description("its manifests as YAML, Secrets masked: what Git renders to, what the cluster has, or what differs")
  .addOption(new Option("--source <source>", "which of them").choices(["desired", "live", "diff"]).default("desired"))
  .addOption(kubeconfig())
  .addOption(nats())
  .addOption(appNamespace())
  .addOption(output("yaml", "json"))
  .action(async (name, options) => (await import("./commands/app-manifests.ts")).appManifests(name, options));

about(app.command("wait <names...>").description("until they are Synced, Healthy and no operation runs"))
  .option("--sync", "only until Synced")
  .option("--health", "only until Healthy")
  .option("--operation", "only until no operation runs")
  .addOption(timeout())
  .action(async (names, options) => (await import("./commands/app-wait.ts")).appWait(names, options));

const actions = app
  .command("actions")
  .description("what may be done to an Application's objects: list, run")
  .helpCommand(false);

const onObjects = (command: Command) =>
  about(command)
    .requiredOption("--kind <kind>", "of the object")
    .option("--group <group>", "of the kind, where several have it")
    .option("--namespace <namespace>", "of the object")
    .option("--resource-name <name>", "of the object")
    .addOption(timeout("30s"));

onObjects(actions.command("list <name>").description("which actions its objects of a kind have")).action(
  async (name, options) => (await import("./commands/app-actions.ts")).appActionsList(name, options),
);

onObjects(actions.command("run <name> <action>").description("have it done to one object"))
  .option("--param <name=value...>", "what the action wants to know")
  .action(async (name, action, options) =>
    (await import("./commands/app-actions.ts")).appActionsRun(name, action, options),
  );

// `driftless … | head`: whoever reads has gone, which is no failure.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(EXIT.ok);
  throw error;
});

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    // Commander has said what is wrong; help and version are no errors.
    process.exitCode = error.exitCode === 0 ? EXIT.ok : EXIT.usage;
  } else if (error instanceof CliError) {
    process.stderr.write(`driftless: ${error.message}\n`);
    process.exitCode = error.exitCode;
  } else {
    // PartFailed and the like say in their message what a person needs; the rest is told with DRIFTLESS_DEBUG.
    const { message, stack } = error as Error;
    process.stderr.write(`driftless: ${process.env["DRIFTLESS_DEBUG"] ? stack : message}\n`);
    process.exitCode = EXIT.failed;
  }
}
