import { expect, test } from "vitest";
import { manifestText, prepare, withMetadata, type Manifest, type PrepareOptions } from "./manifest.ts";

const manifest = (more: Partial<Manifest> = {}): Manifest => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { name: "c" },
  body: '"data":{"a":"1"}',
  images: [],
  file: "a.yaml",
  line: 3,
  warnings: [],
  ...more,
});
const options = (more: Partial<PrepareOptions> = {}): PrepareOptions => ({
  app: { name: "shop", namespace: "argocd", controlPlaneNamespace: "argocd" },
  destinationNamespace: "dest",
  scope: "Namespaced",
  trackingMethod: "annotation",
  ...more,
});
const parsed = (text: string) => JSON.parse(text) as { metadata: Record<string, any>; [member: string]: any };

test("the destination namespace is given to a namespaced object without one, and taken from a cluster-scoped one", () => {
  expect(parsed(prepare(manifest(), options()).text).metadata["namespace"]).toBe("dest");
  const own = prepare(manifest({ metadata: { name: "c", namespace: "own" } }), options());
  expect(own.key.namespace).toBe("own");
  const cluster = prepare(
    manifest({ kind: "Namespace", metadata: { name: "x", namespace: "stray" } }),
    options({ scope: "Cluster" }),
  );
  expect(parsed(cluster.text).metadata).toEqual({
    name: "x",
    annotations: { "argocd.argoproj.io/tracking-id": "shop:/Namespace:dest/x" },
  });
});

test("members of the tracking method, and none on CRDs", () => {
  const long = { name: `${"a".repeat(62)}-b`, namespace: "argocd", controlPlaneNamespace: "argocd" };
  const both = parsed(prepare(manifest(), options({ app: long, trackingMethod: "annotation+label" })).text);
  expect(both.metadata["labels"]).toEqual({ "app.kubernetes.io/instance": "a".repeat(62) });
  expect(both.metadata["annotations"]["argocd.argoproj.io/tracking-id"]).toBe(`${long.name}:/ConfigMap:dest/c`);
  const label = parsed(prepare(manifest(), options({ trackingMethod: "label" })).text);
  expect(label.metadata).toEqual({ name: "c", namespace: "dest", labels: { "app.kubernetes.io/instance": "shop" } });
  const crd = manifest({ apiVersion: "apiextensions.k8s.io/v1", kind: "CustomResourceDefinition" });
  expect(parsed(prepare(crd, options({ scope: "Cluster", trackingMethod: "annotation+label" })).text).metadata).toEqual(
    { name: "c" },
  );
});

test("the body goes on byte for byte: big integers keep their digits", () => {
  const body = '"spec":{"big":12345678901234567890,"f":1.0,"e":1e400}';
  expect(prepare(manifest({ body }), options()).text).toContain(body);
});

test("nulls and status are dropped, but not nulls in lists or texts that look like them", () => {
  const body =
    ' "status" : {"x":1}, "spec":{"a":null,"b":[null,{"c":null,"n":9007199254740993}],"s":"null, \\"status\\""} ,"n":null';
  const { text } = prepare(manifest({ kind: "Widget", body }), options());
  expect(text.endsWith(',"spec":{"b":[null,{"n":9007199254740993}],"s":"null, \\"status\\""}}')).toBe(true);
  const nulls = manifest({ metadata: { name: "c", creationTimestamp: null, annotations: { a: null, b: "1" } } });
  expect(parsed(prepare(nulls, options()).text).metadata).not.toHaveProperty("creationTimestamp");
  expect(parsed(prepare(nulls, options()).text).metadata["annotations"]).not.toHaveProperty("a");
});

test("a Secret's stringData moves into data and wins there; of another kind's it stays", () => {
  const body = '"data":{"a":"b2xk","b":"Yg=="},"stringData":{"a":"nëw"},"type":"Opaque"';
  const secret = parsed(prepare(manifest({ kind: "Secret", body }), options()).text);
  expect(secret["data"]).toEqual({ a: Buffer.from("nëw").toString("base64"), b: "Yg==" });
  expect(secret).not.toHaveProperty("stringData");
  expect(secret["type"]).toBe("Opaque");
  expect(parsed(prepare(manifest({ body }), options()).text)).toHaveProperty("stringData");
});

test("the hash tells desired states apart, and only them", () => {
  const hash = (more: Partial<Manifest>) => prepare(manifest(more), options()).desiredHash;
  expect(hash({ metadata: { name: "c", labels: { x: "1" } } })).toBe(
    hash({ metadata: { labels: { x: "1" }, name: "c" } }),
  );
  expect(hash({ file: "b.yaml", line: 9 })).toBe(hash({}));
  expect(hash({ body: '"data":{"a":"2"}' })).not.toBe(hash({}));
});

test("fences are spliced into the metadata, and what a manifest brings of its own cannot contradict them", () => {
  const copied = manifest({ metadata: { name: "c", uid: "old", resourceVersion: "1", managedFields: [] } });
  const { text } = prepare(copied, options());
  const fenced = parsed(withMetadata(text, { uid: "u", resourceVersion: "7" }));
  expect(fenced.metadata).toMatchObject({ name: "c", uid: "u", resourceVersion: "7" });
  expect(fenced.metadata).not.toHaveProperty("managedFields");
  expect(text.match(/resourceVersion/g)).toBeNull();
  expect(withMetadata('{"metadata":{}}', { uid: "u" })).toBe('{"metadata":{"uid":"u"}}');
  expect(() => withMetadata('{"kind":"X"}', { uid: "u" })).toThrow();
});

test("an empty body is an object of its head only", () => {
  expect(parsed(manifestText(manifest({ body: "" })))).toEqual({
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: "c" },
  });
});

test.each([
  [{}, { consents: {}, syncWave: 0 }],
  [
    { "argocd.argoproj.io/sync-options": "Prune=false, Delete=confirm" },
    { consents: { prune: "no", delete: "confirm" } },
  ],
  [{ "argocd.argoproj.io/sync-options": "Prune=confirm" }, { consents: { prune: "confirm" } }],
  [{ "argocd.argoproj.io/sync-wave": "-3" }, { syncWave: -3 }],
])("the annotations %j are read", (annotations, expected) => {
  expect(prepare(manifest({ metadata: { name: "c", annotations } }), options()).annotations).toMatchObject(expected);
});

test("a variable or a port given twice is folded to the last one with a warning, and nothing else is touched", () => {
  const env = '[{"name":"A","value":"1"},{"name":"B","value":"b"},{"name":"A","value":"2"}]';
  const ports =
    '[{"containerPort":80},{"containerPort":80,"protocol":"TCP","name":"http"},{"containerPort":80,"protocol":"UDP"}]';
  const body = `"spec":{"big":12345678901234567890,"template":{"spec":{"containers":[{"name":"w","env":${env},"ports":${ports}}]}}}`;
  const { text, warnings } = prepare(
    manifest({ apiVersion: "apps/v1", kind: "Deployment", body, warnings: ["w"] }),
    options(),
  );
  expect(text).toContain('"big":12345678901234567890');
  const [container] = parsed(text)["spec"].template.spec.containers;
  expect(container.env).toEqual([
    { name: "B", value: "b" },
    { name: "A", value: "2" },
  ]);
  expect(container.ports).toEqual([
    { containerPort: 80, protocol: "TCP", name: "http" },
    { containerPort: 80, protocol: "UDP" },
  ]);
  expect(warnings).toEqual([
    "w",
    'spec.template.spec.containers[].env: "A" given twice, the last one counts',
    'spec.template.spec.containers[].ports: [80,"TCP"] given twice, the last one counts',
  ]);
});

test("bodies of the wrong shape are left for the API server to refuse", () => {
  for (const body of [
    '"spec":[]',
    '"spec":{"template":{"spec":{"containers":{"env":1}}}}',
    '"spec":{"template":{"spec":{"containers":[null,{"env":[null,1]}]}}}',
  ]) {
    expect(prepare(manifest({ apiVersion: "apps/v1", kind: "Deployment", body }), options()).text).toContain(body);
  }
});
