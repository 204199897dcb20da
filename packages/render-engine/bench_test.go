package main

import (
	"encoding/binary"
	"encoding/json"
	"strings"
	"testing"
)

// A small app of the bench (DESIGN §9): four objects in four files.
var smallApp = tree{
	"app/sa.yaml":     "apiVersion: v1\nkind: ServiceAccount\nmetadata:\n  name: app-1\n  labels: {app: app-1}\n",
	"app/svc.yaml":    "apiVersion: v1\nkind: Service\nmetadata:\n  name: app-1\nspec:\n  clusterIP: None\n  selector:\n    app: app-1\n  ports:\n  - name: http\n    port: 80\n    targetPort: 8080\n",
	"app/deploy.yaml": "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: app-1\nspec:\n  replicas: 0\n  selector:\n    matchLabels:\n      app: app-1\n  template:\n    metadata:\n      labels:\n        app: app-1\n    spec:\n      serviceAccountName: app-1\n      containers:\n      - name: app\n        image: registry.example.com/app:1\n        env:\n        - name: A\n          value: \"1\"\n        - name: B\n          value: \"2\"\n        ports:\n        - containerPort: 8080\n        resources:\n          requests:\n            cpu: 10m\n            memory: 16Mi\n",
	"app/ing.yaml":    "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  name: app-1\nspec:\n  rules:\n  - host: app-1.example.com\n    http:\n      paths:\n      - path: /\n        pathType: Prefix\n        backend:\n          service:\n            name: app-1\n            port:\n              name: http\n",
}

// The same four objects as a chart and as a base with an overlay.
func smallChart() tree {
	files := tree{"app/Chart.yaml": "apiVersion: v2\nname: app\nversion: 1.0.0\n", "app/values.yaml": "name: app-1\nimage: registry.example.com/app:1\nreplicas: 0\n"}
	for name, content := range smallApp {
		content = strings.ReplaceAll(content, "registry.example.com/app:1", "{{ .Values.image }}")
		content = strings.ReplaceAll(content, "replicas: 0", "replicas: {{ .Values.replicas }}")
		files["app/templates/"+strings.TrimPrefix(name, "app/")] = strings.ReplaceAll(content, "app-1", "{{ .Values.name }}")
	}
	return files
}

func smallOverlay() tree {
	files := tree{
		"base/kustomization.yaml": "resources: [sa.yaml, svc.yaml, deploy.yaml, ing.yaml]\n",
		"app/kustomization.yaml":  "resources: [../base]\nnamespace: ns-1\nlabels:\n- pairs: {team: a}\nimages:\n- {name: registry.example.com/app, newTag: \"2\"}\n",
	}
	for name, content := range smallApp {
		files["base/"+strings.TrimPrefix(name, "app/")] = content
	}
	return files
}

func BenchmarkSmallApp(b *testing.B)     { benchmark(b, smallApp, "app") }
func BenchmarkSmallChart(b *testing.B)   { benchmark(b, smallChart(), "app") }
func BenchmarkSmallOverlay(b *testing.B) { benchmark(b, smallOverlay(), "app", "base") }

func benchmark(b *testing.B, files tree, complete ...string) {
	request := RenderRequest{Path: "app", AppName: "app-1", Complete: complete, Limits: testLimits, KubeVersion: "1.36.3"}
	raw := strings.Builder{}
	for p, content := range files {
		request.Files = append(request.Files, BundleFile{Path: p, Size: len(content)})
		raw.WriteString(content)
	}
	header, err := json.Marshal(map[string]any{"call": "render", "render": request})
	if err != nil {
		b.Fatal(err)
	}
	frame := make([]byte, idBytes, 8192)
	frame = append(binary.BigEndian.AppendUint32(frame, uint32(len(header))), header...)
	frame = append(frame, raw.String()...)
	b.ReportAllocs()
	for b.Loop() {
		if reply, err := answer(frame); err != nil || len(reply) < 1500 {
			b.Fatal(err, string(reply))
		}
	}
}

// What starting the real programs for the same costs.
func BenchmarkExec(b *testing.B) {
	for _, c := range []struct {
		name  string
		files tree
		args  []string
	}{
		{"helm", smallChart(), []string{"template", ".", "--name-template", "app-1", "--include-crds", "--kube-version", "1.36.3"}},
		{"kustomize", smallOverlay(), []string{"build", "."}},
	} {
		program, root := tool(b, c.name), c.files.write(b)
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				if out := runReal(b, root+"/app", program, c.args...); len(out) < 1000 {
					b.Fatal(string(out))
				}
			}
		})
	}
}
