// The apps of the bench: four small objects each, in apps/<team>/<app> with at most 200 entries a directory (DESIGN §9).

const TEAM_SIZE = 200;

export const appName = (index: number): string => `app-${String(index).padStart(5, "0")}`;
export const appPath = (index: number): string =>
  `apps/team-${String(Math.floor(index / TEAM_SIZE)).padStart(3, "0")}/${appName(index)}`;

/** Namespaces hold 100 apps each, so that neither one namespace nor 1,000 of them are measured. */
export const appNamespace = (prefix: string, index: number): string => `${prefix}-${Math.floor(index / 100)}`;

interface BenchObject {
  file: string;
  collection(namespace: string): string;
  object: Record<string, unknown>;
}

export function appObjects(index: number, image: string): BenchObject[] {
  const name = appName(index);
  const labels = { "app.kubernetes.io/name": name };
  return [
    {
      file: "serviceaccount.yaml",
      collection: (ns) => `/api/v1/namespaces/${ns}/serviceaccounts`,
      object: { apiVersion: "v1", kind: "ServiceAccount", metadata: { name, labels } },
    },
    {
      file: "service.yaml",
      collection: (ns) => `/api/v1/namespaces/${ns}/services`,
      object: {
        apiVersion: "v1",
        kind: "Service",
        metadata: { name, labels },
        spec: { clusterIP: "None", selector: labels, ports: [{ name: "http", port: 80, targetPort: "http" }] },
      },
    },
    {
      file: "deployment.yaml",
      collection: (ns) => `/apis/apps/v1/namespaces/${ns}/deployments`,
      object: {
        apiVersion: "apps/v1",
        kind: "Deployment",
        metadata: { name, labels },
        spec: {
          replicas: 0,
          selector: { matchLabels: labels },
          template: {
            metadata: { labels },
            spec: {
              serviceAccountName: name,
              containers: [{ name: "web", image, ports: [{ name: "http", containerPort: 8080 }] }],
            },
          },
        },
      },
    },
    {
      file: "ingress.yaml",
      collection: (ns) => `/apis/networking.k8s.io/v1/namespaces/${ns}/ingresses`,
      object: {
        apiVersion: "networking.k8s.io/v1",
        kind: "Ingress",
        metadata: { name, labels },
        spec: {
          rules: [
            {
              host: `${name}.example.com`,
              http: {
                paths: [{ path: "/", pathType: "Prefix", backend: { service: { name, port: { name: "http" } } } }],
              },
            },
          ],
        },
      },
    },
  ];
}

/** Files of one app; JSON is YAML, and its text is what a bare client sends. */
export function appFiles(index: number, image: string): Record<string, string> {
  return Object.fromEntries(
    appObjects(index, image).map(({ file, object }) => [
      `${appPath(index)}/${file}`,
      `${JSON.stringify(object, null, 2)}\n`,
    ]),
  );
}

export function repositoryFiles(apps: number, image: string): Record<string, string> {
  const files: Record<string, string> = { "README.md": "# bench\n" };
  for (let index = 0; index < apps; index++) Object.assign(files, appFiles(index, image));
  return files;
}
