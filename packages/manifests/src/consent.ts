// Consent (pure): whether an object may be pruned, or deleted along with its Application, as the sync options `Prune=…`
// and `Delete=…` say. The object's own word counts before its Application's.

/** `confirm`: only after a person approved of it. */
export type Consent = "yes" | "no" | "confirm";

/** Only what is said in so many words. */
export type Consents = { prune?: Consent; delete?: Consent };

const VALUES: Record<string, Consent> = { true: "yes", false: "no", confirm: "confirm" };

/** Of options as `name=value`; the first of a name counts, as in Argo CD. */
export function consentsIn(options: readonly string[]): Consents {
  const said = (name: string): Consent | undefined => {
    const option = options.find((one) => one.startsWith(`${name}=`));
    const value = option?.slice(name.length + 1) ?? "";
    return Object.hasOwn(VALUES, value) ? VALUES[value] : undefined;
  };
  const prune = said("Prune");
  const remove = said("Delete");
  return { ...(prune && { prune }), ...(remove && { delete: remove }) };
}

/** Undefined where nobody says anything: then it may go. */
export const consentTo = (act: "prune" | "delete", own: Consents = {}, usual: Consents = {}): Consent | undefined =>
  own[act] ?? usual[act];

/** Before it goes with its Application: `Prune=confirm` guards against that as well, as in Argo CD. */
export const needsApproval = (own: Consents = {}, usual: Consents = {}): boolean =>
  consentTo("delete", own, usual) === "confirm" || consentTo("prune", own, usual) === "confirm";

const STRICTEST_FIRST: readonly (Consent | undefined)[] = ["confirm", "no", "yes", undefined];

/** Of what Git says and what the cluster still has, whatever asks for more care. */
export function stricter(a: Consents, b: Consents): Consents {
  const of = (act: "prune" | "delete") => STRICTEST_FIRST.find((consent) => a[act] === consent || b[act] === consent);
  const prune = of("prune");
  const remove = of("delete");
  return { ...(prune && { prune }), ...(remove && { delete: remove }) };
}
