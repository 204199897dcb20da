// Objects of many kinds, each with the shapes that managed fields treat differently: keyed lists, sets, atomic lists
// and maps, empty maps, defaults, quantities that the API server rewrites.

type Source = { apiVersion: string; kind: string; metadata: Record<string, unknown>; [member: string]: unknown };

const labels = { app: "k" };
const podSpec = {
  serviceAccountName: "default",
  initContainers: [
    { name: "first", image: "busybox", command: ["true"] },
    { name: "second", image: "busybox" },
  ],
  containers: [
    {
      name: "web",
      image: "nginx:1.27",
      args: ["-v", "-q"],
      env: [
        { name: "PLAIN", value: "x" },
        { name: "EMPTY", value: "" },
        { name: "FROM", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } },
      ],
      envFrom: [{ configMapRef: { name: "some", optional: true } }],
      ports: [
        { name: "http", containerPort: 80 },
        { name: "dns", containerPort: 53, protocol: "UDP" },
        { name: "dns-tcp", containerPort: 53, protocol: "TCP" },
      ],
      resources: { requests: { cpu: "0.5", memory: "1024Mi" }, limits: {} },
      volumeMounts: [
        { name: "data", mountPath: "/data" },
        { name: "cfg", mountPath: "/cfg", readOnly: true },
      ],
      securityContext: { capabilities: { drop: ["ALL"] } },
      readinessProbe: { httpGet: { path: "/", port: "http" } },
    },
  ],
  volumes: [
    { name: "data", emptyDir: {} },
    { name: "cfg", configMap: { name: "cfg", optional: true, items: [{ key: "a", path: "b" }] } },
  ],
  tolerations: [{ key: "x", operator: "Exists", effect: "NoSchedule" }],
  topologySpreadConstraints: [
    { maxSkew: 1, topologyKey: "zone", whenUnsatisfiable: "ScheduleAnyway", labelSelector: { matchLabels: labels } },
  ],
  imagePullSecrets: [{ name: "pull" }],
  nodeSelector: {},
};
const template = { metadata: { labels, annotations: {} }, spec: podSpec };
const selector = { matchLabels: labels };

const webhook = {
  name: "nobody.example.com",
  clientConfig: { url: "https://127.0.0.1:1/never" },
  rules: [{ apiGroups: ["nobody.example.com"], apiVersions: ["*"], operations: ["*"], resources: ["*"] }],
  sideEffects: "None",
  admissionReviewVersions: ["v1"],
  failurePolicy: "Ignore",
};

export const kindsToTry: Source[] = [
  { apiVersion: "v1", kind: "Namespace", metadata: { name: "try-more", labels: { a: "b" } } },
  { apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "k" }, imagePullSecrets: [{ name: "pull" }] },
  {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: "k", annotations: {}, finalizers: ["try.example/a", "try.example/b"] },
    data: { "a.b_c-d": "1", long: "x\ny\n", empty: "" },
    binaryData: { bin: "AAEC" },
  },
  { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "bare", labels: {} } },
  { apiVersion: "v1", kind: "Secret", metadata: { name: "k" }, stringData: { user: "me" }, data: { pass: "c2VjcmV0" } },
  {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "k" },
    spec: {
      selector: labels,
      ports: [
        { name: "http", port: 80, targetPort: "http" },
        { name: "dns", port: 53, protocol: "UDP" },
      ],
    },
  },
  { apiVersion: "v1", kind: "Service", metadata: { name: "headless" }, spec: { clusterIP: "None", selector: labels } },
  {
    apiVersion: "v1",
    kind: "PersistentVolumeClaim",
    metadata: { name: "k" },
    spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1024Mi" } } },
  },
  {
    apiVersion: "v1",
    kind: "LimitRange",
    metadata: { name: "k" },
    spec: { limits: [{ type: "Pod", max: { cpu: "64" } }] },
  },
  { apiVersion: "v1", kind: "ResourceQuota", metadata: { name: "k" }, spec: { hard: { "count/jobs.batch": "500" } } },
  {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: "k", labels },
    spec: { replicas: 0, selector, template },
  },
  {
    apiVersion: "apps/v1",
    kind: "StatefulSet",
    metadata: { name: "k" },
    spec: {
      serviceName: "headless",
      replicas: 0,
      selector,
      template,
      volumeClaimTemplates: [
        {
          metadata: { name: "data" },
          spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } },
        },
      ],
    },
  },
  { apiVersion: "apps/v1", kind: "DaemonSet", metadata: { name: "k" }, spec: { selector, template } },
  {
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: { name: "k" },
    spec: {
      suspend: true,
      template: { spec: { restartPolicy: "Never", containers: [{ name: "j", image: "busybox" }] } },
    },
  },
  {
    apiVersion: "batch/v1",
    kind: "CronJob",
    metadata: { name: "k" },
    spec: {
      schedule: "0 0 * * *",
      jobTemplate: {
        spec: { template: { spec: { restartPolicy: "OnFailure", containers: [{ name: "j", image: "b" }] } } },
      },
    },
  },
  {
    apiVersion: "networking.k8s.io/v1",
    kind: "Ingress",
    metadata: { name: "k" },
    spec: {
      tls: [{ hosts: ["a.example"], secretName: "tls" }],
      rules: [
        {
          host: "a.example",
          http: {
            paths: [{ path: "/", pathType: "Prefix", backend: { service: { name: "k", port: { number: 80 } } } }],
          },
        },
      ],
    },
  },
  {
    apiVersion: "networking.k8s.io/v1",
    kind: "NetworkPolicy",
    metadata: { name: "k" },
    spec: {
      podSelector: {},
      policyTypes: ["Ingress"],
      ingress: [{ from: [{ podSelector: { matchLabels: labels } }] }],
    },
  },
  {
    apiVersion: "policy/v1",
    kind: "PodDisruptionBudget",
    metadata: { name: "k" },
    spec: { minAvailable: "50%", selector },
  },
  {
    apiVersion: "autoscaling/v2",
    kind: "HorizontalPodAutoscaler",
    metadata: { name: "k" },
    spec: {
      scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: "absent" },
      maxReplicas: 3,
      metrics: [
        { type: "Resource", resource: { name: "cpu", target: { type: "Utilization", averageUtilization: 80 } } },
      ],
    },
  },
  {
    apiVersion: "rbac.authorization.k8s.io/v1",
    kind: "ClusterRole",
    metadata: { name: "try:k" },
    rules: [{ apiGroups: [""], resources: ["pods"], verbs: ["get", "list"] }],
  },
  {
    apiVersion: "rbac.authorization.k8s.io/v1",
    kind: "RoleBinding",
    metadata: { name: "try:k" },
    roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "try:k" },
    subjects: [{ kind: "ServiceAccount", name: "k", namespace: "try" }],
  },
  { apiVersion: "scheduling.k8s.io/v1", kind: "PriorityClass", metadata: { name: "try-k" }, value: 1000 },
  {
    apiVersion: "v1",
    kind: "PersistentVolume",
    metadata: { name: "try-k" },
    spec: {
      capacity: { storage: "1024Mi" },
      accessModes: ["ReadWriteOnce"],
      storageClassName: "nowhere",
      hostPath: { path: "/tmp/k" },
    },
  },
  { apiVersion: "v1", kind: "PodTemplate", metadata: { name: "k" }, template },
  {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "k", labels: { alone: "yes" } },
    spec: { containers: [{ name: "c", image: "nginx", resources: { limits: { memory: "1024Mi", cpu: "1000m" } } }] },
  },
  {
    apiVersion: "v1",
    kind: "ReplicationController",
    metadata: { name: "k" },
    spec: { replicas: 0, selector: labels, template },
  },
  {
    apiVersion: "v1",
    kind: "Endpoints",
    metadata: { name: "k-outside" },
    subsets: [{ addresses: [{ ip: "192.0.2.1" }], ports: [{ port: 80 }] }],
  },
  { apiVersion: "apps/v1", kind: "ReplicaSet", metadata: { name: "k" }, spec: { replicas: 0, selector, template } },
  {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name: "k" },
    addressType: "IPv4",
    endpoints: [{ addresses: ["192.0.2.1"] }],
    ports: [{ port: 80 }],
  },
  {
    apiVersion: "rbac.authorization.k8s.io/v1",
    kind: "Role",
    metadata: { name: "k" },
    rules: [{ apiGroups: ["", "apps"], resources: ["*"], verbs: ["get"] }],
  },
  { apiVersion: "rbac.authorization.k8s.io/v1", kind: "Role", metadata: { name: "k-empty" }, rules: [] },
  {
    apiVersion: "rbac.authorization.k8s.io/v1",
    kind: "ClusterRoleBinding",
    metadata: { name: "try:k" },
    roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "try:k" },
    subjects: [{ kind: "Group", name: "nobody", apiGroup: "rbac.authorization.k8s.io" }],
  },
  {
    apiVersion: "rbac.authorization.k8s.io/v1",
    kind: "ClusterRole",
    metadata: { name: "try:gathers" },
    aggregationRule: { clusterRoleSelectors: [{ matchLabels: { gathers: "nothing" } }] },
  },
  {
    apiVersion: "storage.k8s.io/v1",
    kind: "StorageClass",
    metadata: { name: "try-k" },
    provisioner: "example.com/disk",
  },
  {
    apiVersion: "storage.k8s.io/v1",
    kind: "CSIDriver",
    metadata: { name: "try-k.example.com" },
    spec: { attachRequired: false },
  },
  { apiVersion: "node.k8s.io/v1", kind: "RuntimeClass", metadata: { name: "try-k" }, handler: "runc" },
  {
    apiVersion: "networking.k8s.io/v1",
    kind: "IngressClass",
    metadata: { name: "try-k" },
    spec: { controller: "example.com/ingress" },
  },
  {
    apiVersion: "admissionregistration.k8s.io/v1",
    kind: "ValidatingWebhookConfiguration",
    metadata: { name: "try-k" },
    webhooks: [webhook],
  },
  {
    apiVersion: "admissionregistration.k8s.io/v1",
    kind: "MutatingWebhookConfiguration",
    metadata: { name: "try-k" },
    webhooks: [webhook],
  },
  {
    apiVersion: "admissionregistration.k8s.io/v1",
    kind: "ValidatingAdmissionPolicy",
    metadata: { name: "try-k" },
    spec: {
      matchConstraints: {
        resourceRules: [
          { apiGroups: ["nobody.example.com"], apiVersions: ["v1"], operations: ["CREATE"], resources: ["things"] },
        ],
      },
      validations: [{ expression: "true" }],
    },
  },
  {
    apiVersion: "admissionregistration.k8s.io/v1",
    kind: "ValidatingAdmissionPolicyBinding",
    metadata: { name: "try-k" },
    spec: { policyName: "try-k", validationActions: ["Audit"] },
  },
  {
    apiVersion: "flowcontrol.apiserver.k8s.io/v1",
    kind: "PriorityLevelConfiguration",
    metadata: { name: "try-k" },
    spec: { type: "Limited", limited: { nominalConcurrencyShares: 1, limitResponse: { type: "Reject" } } },
  },
  {
    apiVersion: "flowcontrol.apiserver.k8s.io/v1",
    kind: "FlowSchema",
    metadata: { name: "try-k" },
    spec: {
      priorityLevelConfiguration: { name: "try-k" },
      rules: [
        {
          subjects: [{ kind: "User", user: { name: "nobody" } }],
          resourceRules: [{ verbs: ["get"], apiGroups: [""], resources: ["pods"], namespaces: ["nowhere"] }],
        },
      ],
    },
  },
  {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: "tries.k.example.com" },
    spec: {
      group: "k.example.com",
      scope: "Namespaced",
      names: { kind: "Try", plural: "tries" },
      versions: [
        {
          name: "v1",
          served: true,
          storage: true,
          schema: {
            openAPIV3Schema: {
              type: "object",
              properties: { spec: { type: "object", properties: { size: { type: "integer", default: 3 } } } },
            },
          },
        },
      ],
    },
  },
  {
    apiVersion: "resource.k8s.io/v1",
    kind: "DeviceClass",
    metadata: { name: "try-k" },
    spec: { selectors: [{ cel: { expression: "true" } }] },
  },
  {
    apiVersion: "resource.k8s.io/v1",
    kind: "ResourceClaimTemplate",
    metadata: { name: "k" },
    spec: { spec: { devices: { requests: [{ name: "r", exactly: { deviceClassName: "nowhere" } }] } } },
  },
];
