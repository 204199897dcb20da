import { expect, test } from "vitest";
import { healthOf, isWorse, type Health, type LiveObject } from "./health.ts";
import { isStale } from "./staleness.ts";

type Case = [what: string, object: LiveObject, expected: Health | undefined];

const object = (apiVersion: string, kind: string, rest: Record<string, any>): LiveObject => ({
  apiVersion,
  kind,
  ...rest,
  metadata: { name: "x", generation: 2, ...rest["metadata"] },
});
const deployment = (spec: object, status: object) =>
  object("apps/v1", "Deployment", { spec: { replicas: 3, ...spec }, status: { observedGeneration: 2, ...status } });
const done = { replicas: 3, updatedReplicas: 3, availableReplicas: 3 };
const statefulSet = (spec: object, status: object) =>
  object("apps/v1", "StatefulSet", { spec: { replicas: 3, ...spec }, status: { observedGeneration: 2, ...status } });
const daemonSet = (status: object, spec: object = {}) =>
  object("apps/v1", "DaemonSet", { spec, status: { observedGeneration: 2, desiredNumberScheduled: 2, ...status } });
const pod = (spec: object, status: object, annotations: object = {}) =>
  object("v1", "Pod", { spec: { restartPolicy: "Always", ...spec }, status, metadata: { annotations } });
const condition = (type: string, status: string, more: object = {}) => ({ type, status, ...more });
const custom = (status: unknown, generation = 2) =>
  object("example.com/v1", "Widget", { status, metadata: { generation } });

const cases: Case[] = [
  ["a Deployment that is done", deployment({}, done), { status: "Healthy" }],
  ["a paused Deployment", deployment({ paused: true }, done), { status: "Suspended", message: "Deployment is paused" }],
  [
    "a Deployment whose controller has not seen the change",
    deployment({}, { ...done, observedGeneration: 1 }),
    {
      status: "Progressing",
      message: "Waiting for rollout to finish: observed deployment generation less than desired generation",
    },
  ],
  [
    "a Deployment over its deadline",
    deployment(
      {},
      { ...done, conditions: [condition("Progressing", "False", { reason: "ProgressDeadlineExceeded" })] },
    ),
    { status: "Degraded", message: 'Deployment "x" exceeded its progress deadline' },
  ],
  [
    "a Deployment being updated",
    deployment({}, { ...done, updatedReplicas: 1 }),
    { status: "Progressing", message: "Waiting for rollout to finish: 1 out of 3 new replicas have been updated..." },
  ],
  [
    "a Deployment with old replicas",
    deployment({}, { ...done, replicas: 5 }),
    { status: "Progressing", message: "Waiting for rollout to finish: 2 old replicas are pending termination..." },
  ],
  [
    "a Deployment not yet available",
    deployment({}, { ...done, availableReplicas: 1 }),
    { status: "Progressing", message: "Waiting for rollout to finish: 1 of 3 updated replicas are available..." },
  ],
  ["a Deployment of 0 replicas without counts", deployment({ replicas: 0 }, {}), { status: "Healthy" }],
  [
    "a Deployment of a version that is not known",
    object("apps/v1beta1", "Deployment", {}),
    { status: "Unknown", message: "unsupported Deployment GVK: apps/v1beta1, Kind=Deployment" },
  ],
  [
    "a StatefulSet not observed",
    statefulSet({}, { observedGeneration: 0 }),
    { status: "Progressing", message: "Waiting for statefulset spec update to be observed..." },
  ],
  [
    "a StatefulSet not ready",
    statefulSet({}, { readyReplicas: 1 }),
    { status: "Progressing", message: "Waiting for 2 pods to be ready..." },
  ],
  [
    "a partitioned StatefulSet being updated",
    statefulSet(
      { updateStrategy: { type: "RollingUpdate", rollingUpdate: { partition: 1 } } },
      { readyReplicas: 3, updatedReplicas: 1 },
    ),
    {
      status: "Progressing",
      message: "Waiting for partitioned roll out to finish: 1 out of 2 new pods have been updated...",
    },
  ],
  [
    "a partitioned StatefulSet that is done",
    statefulSet(
      { updateStrategy: { type: "RollingUpdate", rollingUpdate: { partition: 0 } } },
      { readyReplicas: 3, updatedReplicas: 3 },
    ),
    { status: "Healthy", message: "partitioned roll out complete: 3 new pods have been updated..." },
  ],
  [
    "a StatefulSet on delete",
    statefulSet({ updateStrategy: { type: "OnDelete" } }, { readyReplicas: 3 }),
    { status: "Healthy", message: "statefulset has 3 ready pods" },
  ],
  [
    "a StatefulSet between revisions",
    statefulSet({}, { readyReplicas: 3, updatedReplicas: 2, updateRevision: "b", currentRevision: "a" }),
    { status: "Progressing", message: "waiting for statefulset rolling update to complete 2 pods at revision b..." },
  ],
  [
    "a StatefulSet that is done",
    statefulSet({}, { readyReplicas: 3, currentReplicas: 3, updateRevision: "a", currentRevision: "a" }),
    { status: "Healthy", message: "statefulset rolling update complete 3 pods at revision a..." },
  ],
  [
    "a DaemonSet not observed",
    daemonSet({ observedGeneration: 1 }),
    {
      status: "Progressing",
      message: "Waiting for rollout to finish: observed daemon set generation less than desired generation",
    },
  ],
  [
    "a DaemonSet being updated",
    daemonSet({ updatedNumberScheduled: 1 }),
    {
      status: "Progressing",
      message: 'Waiting for daemon set "x" rollout to finish: 1 out of 2 new pods have been updated...',
    },
  ],
  [
    "a DaemonSet not available",
    daemonSet({ updatedNumberScheduled: 2, numberAvailable: 1 }),
    {
      status: "Progressing",
      message: 'Waiting for daemon set "x" rollout to finish: 1 of 2 updated pods are available...',
    },
  ],
  ["a DaemonSet that is done", daemonSet({ updatedNumberScheduled: 2, numberAvailable: 2 }), { status: "Healthy" }],
  [
    "a DaemonSet on delete",
    daemonSet({ updatedNumberScheduled: 1 }, { updateStrategy: { type: "OnDelete" } }),
    { status: "Healthy", message: "daemon set 1 out of 2 new pods have been updated" },
  ],
  [
    "a ReplicaSet that cannot make pods",
    object("apps/v1", "ReplicaSet", {
      status: { observedGeneration: 2, conditions: [condition("ReplicaFailure", "True", { message: "quota" })] },
    }),
    { status: "Degraded", message: "quota" },
  ],
  [
    "a ReplicaSet not available",
    object("apps/v1", "ReplicaSet", { spec: { replicas: 2 }, status: { observedGeneration: 2 } }),
    { status: "Progressing", message: "Waiting for rollout to finish: 0 out of 2 new replicas are available..." },
  ],
  ["a pending Pod", pod({}, { phase: "Pending" }), { status: "Progressing" }],
  [
    "a Pod that crashes",
    pod(
      {},
      {
        phase: "Running",
        containerStatuses: [{ state: { waiting: { reason: "CrashLoopBackOff", message: "back-off 5m" } } }],
      },
    ),
    { status: "Degraded", message: "back-off 5m" },
  ],
  [
    "a Pod whose image cannot be pulled",
    pod(
      {},
      { phase: "Pending", containerStatuses: [{ state: { waiting: { reason: "ErrImagePull", message: "no" } } }] },
    ),
    { status: "Degraded", message: "no" },
  ],
  [
    "a finite Pod whose image cannot be pulled yet",
    pod(
      { restartPolicy: "Never" },
      { phase: "Pending", containerStatuses: [{ state: { waiting: { reason: "ErrImagePull", message: "no" } } }] },
    ),
    { status: "Progressing" },
  ],
  ["a ready Pod", pod({}, { phase: "Running", conditions: [condition("Ready", "True")] }), { status: "Healthy" }],
  [
    "a Pod not ready yet",
    pod({}, { phase: "Running", conditions: [condition("Ready", "False")] }),
    { status: "Progressing" },
  ],
  [
    "a Pod not ready that was restarted",
    pod({}, { phase: "Running", containerStatuses: [{ lastState: { terminated: { exitCode: 1 } } }] }),
    { status: "Degraded" },
  ],
  ["a finite Pod that runs", pod({ restartPolicy: "OnFailure" }, { phase: "Running" }), { status: "Progressing" }],
  [
    "a finite Pod that is to be taken for a long one",
    pod(
      { restartPolicy: "Never" },
      { phase: "Running", conditions: [condition("Ready", "True")] },
      { "argocd.argoproj.io/ignore-restart-policy": "true" },
    ),
    { status: "Healthy" },
  ],
  ["a Pod that succeeded", pod({}, { phase: "Succeeded" }), { status: "Healthy" }],
  [
    "a Pod that failed",
    pod({}, { phase: "Failed", containerStatuses: [{ name: "c", state: { terminated: { exitCode: 3 } } }] }),
    { status: "Degraded", message: 'container "c" failed with exit code 3' },
  ],
  [
    "a Pod out of memory",
    pod(
      {},
      { phase: "Failed", initContainerStatuses: [{ state: { terminated: { exitCode: 137, reason: "OOMKilled" } } }] },
    ),
    { status: "Degraded", message: "OOMKilled" },
  ],
  ["a Pod of an unknown phase", pod({}, {}), { status: "Unknown" }],
  ["a Job that runs", object("batch/v1", "Job", { status: { active: 1 } }), { status: "Progressing" }],
  [
    "a Job that failed",
    object("batch/v1", "Job", { status: { conditions: [condition("Failed", "True", { message: "limit" })] } }),
    { status: "Degraded", message: "limit" },
  ],
  [
    "a Job that is done",
    object("batch/v1", "Job", { status: { conditions: [condition("Complete", "True", { message: "ok" })] } }),
    { status: "Healthy", message: "ok" },
  ],
  [
    "a suspended Job",
    object("batch/v1", "Job", { status: { conditions: [condition("Suspended", "True", { message: "zzz" })] } }),
    { status: "Suspended", message: "zzz" },
  ],
  ["a Service", object("v1", "Service", { spec: { type: "ClusterIP" } }), { status: "Healthy" }],
  [
    "a load balancer without address",
    object("v1", "Service", { spec: { type: "LoadBalancer" } }),
    { status: "Progressing" },
  ],
  [
    "a load balancer with one",
    object("v1", "Service", {
      spec: { type: "LoadBalancer" },
      status: { loadBalancer: { ingress: [{ ip: "1.2.3.4" }] } },
    }),
    { status: "Healthy" },
  ],
  ["an Ingress without address", object("networking.k8s.io/v1", "Ingress", {}), { status: "Progressing" }],
  [
    "an Ingress with one",
    object("networking.k8s.io/v1", "Ingress", { status: { loadBalancer: { ingress: [{}] } } }),
    { status: "Healthy" },
  ],
  ["a bound claim", object("v1", "PersistentVolumeClaim", { status: { phase: "Bound" } }), { status: "Healthy" }],
  [
    "a pending claim",
    object("v1", "PersistentVolumeClaim", { status: { phase: "Pending" } }),
    { status: "Progressing" },
  ],
  ["a lost claim", object("v1", "PersistentVolumeClaim", { status: { phase: "Lost" } }), { status: "Degraded" }],
  ["a claim without phase", object("v1", "PersistentVolumeClaim", {}), { status: "Unknown" }],
  [
    "an APIService that is there",
    object("apiregistration.k8s.io/v1", "APIService", {
      status: { conditions: [condition("Available", "True", { reason: "Passed", message: "all" })] },
    }),
    { status: "Healthy", message: "Passed: all" },
  ],
  [
    "an APIService not processed",
    object("apiregistration.k8s.io/v1", "APIService", {}),
    { status: "Progressing", message: "Waiting to be processed" },
  ],
  [
    "an autoscaler that cannot read its metric",
    object("autoscaling/v2", "HorizontalPodAutoscaler", {
      status: {
        conditions: [
          condition("AbleToScale", "True"),
          condition("ScalingActive", "False", { reason: "FailedGetResourceMetric", message: "no metrics" }),
        ],
      },
    }),
    { status: "Degraded", message: "no metrics" },
  ],
  [
    "an autoscaler of v1, whose conditions are an annotation",
    object("autoscaling/v1", "HorizontalPodAutoscaler", {
      metadata: {
        annotations: {
          "autoscaling.alpha.kubernetes.io/conditions": '[{"type":"AbleToScale","status":"True","message":"ok"}]',
        },
      },
    }),
    { status: "Healthy", message: "ok" },
  ],
  [
    "an autoscaler without conditions",
    object("autoscaling/v2", "HorizontalPodAutoscaler", {}),
    { status: "Progressing", message: "Waiting to Autoscale" },
  ],
  [
    "an autoscaler of a version that is not known",
    object("autoscaling/v3", "HorizontalPodAutoscaler", {}),
    { status: "Unknown", message: "unsupported HPA GVK: autoscaling/v3, Kind=HorizontalPodAutoscaler" },
  ],
  ...(["", "Pending", "Running", "Succeeded", "Failed", "Error", "Else"] as const).map((phase, index): Case => {
    const statuses = [
      "Progressing",
      "Progressing",
      "Progressing",
      "Healthy",
      "Degraded",
      "Degraded",
      "Unknown",
    ] as const;
    const workflow = object("argoproj.io/v1alpha1", "Workflow", { status: { phase, message: "m" } });
    return [`a Workflow whose phase is "${phase}"`, workflow, { status: statuses[index]!, message: "m" }];
  }),
  ["a ConfigMap", object("v1", "ConfigMap", {}), undefined],
  [
    "a child Application",
    object("argoproj.io/v1alpha1", "Application", { status: { conditions: [condition("Ready", "True")] } }),
    undefined,
  ],
  ["an object of an unknown kind without status", custom(undefined), undefined],
  ["an object with conditions of its own making", custom({ conditions: [condition("Issued", "True")] }), undefined],
  [
    "a ready object",
    custom({ conditions: [condition("Ready", "True", { message: "ok" })] }),
    { status: "Healthy", message: "ok" },
  ],
  ["an available object", custom({ conditions: [condition("Available", "True")] }), { status: "Healthy" }],
  [
    "an object not ready",
    custom({ conditions: [condition("Ready", "False", { reason: "Waiting" })] }),
    { status: "Progressing", message: "Waiting" },
  ],
  [
    "a stalled object",
    custom({ conditions: [condition("Ready", "False"), condition("Stalled", "True", { message: "gave up" })] }),
    { status: "Degraded", message: "gave up" },
  ],
  [
    "an object being reconciled",
    custom({ conditions: [condition("Ready", "True"), condition("Reconciling", "True", { message: "v2" })] }),
    { status: "Progressing", message: "v2" },
  ],
  [
    "an object whose controller has not seen the change",
    custom({ observedGeneration: 1, conditions: [condition("Ready", "True")] }),
    { status: "Progressing", message: "Waiting for generation 2 to be observed" },
  ],
  [
    "an object being deleted",
    object("v1", "ConfigMap", { metadata: { deletionTimestamp: "2026-01-01T00:00:00Z" } }),
    { status: "Progressing", message: "Pending deletion" },
  ],
  [
    "fields of the wrong type",
    deployment({ replicas: "3" }, { conditions: "none", observedGeneration: "2" }),
    {
      status: "Progressing",
      message: "Waiting for rollout to finish: observed deployment generation less than desired generation",
    },
  ],
];

test.each(cases)("%s", (_what, live, expected) => {
  expect(healthOf(live)).toEqual(expected);
});

test("a malformed v1 autoscaler is Unknown and throws nothing", () => {
  const broken = object("autoscaling/v1", "HorizontalPodAutoscaler", {
    metadata: { annotations: { "autoscaling.alpha.kubernetes.io/conditions": "{" } },
  });
  expect(healthOf(broken)?.status).toBe("Unknown");
});

test("the worst of two goes by Argo CD's order", () => {
  expect(isWorse("Healthy", "Suspended")).toBe(true);
  expect(isWorse("Degraded", "Missing")).toBe(false);
  expect(isWorse("Degraded", "Unknown")).toBe(true);
});

test("a status of an earlier generation is marked as such, whatever it says", () => {
  const hpa = (observedGeneration: number) =>
    object("autoscaling/v2", "HorizontalPodAutoscaler", {
      status: { observedGeneration, conditions: [condition("AbleToScale", "True", { message: "ok" })] },
    });
  expect(healthOf(hpa(1))).toEqual({ status: "Healthy", message: "ok", stale: true });
  expect(healthOf(hpa(2))).toEqual({ status: "Healthy", message: "ok" });
});

test.each<[string, object, object | undefined, boolean]>([
  ["was not compared yet", { source: { repoURL: "r" } }, undefined, true],
  ["was compared to this", { source: { repoURL: "r", helm: { parameters: [] } } }, { source: { repoURL: "r" } }, false],
  [
    "was compared to another revision",
    { source: { targetRevision: "v2" } },
    { source: { targetRevision: "v1" } },
    true,
  ],
  ["was compared to other values", { source: { helm: { values: "a" } } }, { source: { helm: { values: "b" } } }, true],
  ["was compared to other sources", { sources: [{ path: "a" }, { path: "b" }] }, { sources: [{ path: "a" }] }, true],
  ["was compared to another place", { destination: { server: "a" } }, { destination: { server: "b" } }, true],
])("the status of an Application that %s", (_what, spec, comparedTo, expected) => {
  const status = comparedTo && { sync: { comparedTo }, health: { status: "Healthy" } };
  expect(isStale(object("argoproj.io/v1alpha1", "Application", { spec, status }))).toBe(expected);
});
