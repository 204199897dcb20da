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

func BenchmarkSmallApp(b *testing.B) {
	request := RenderRequest{Path: "app", AppName: "app-1", Complete: []string{"app"}, Limits: testLimits}
	raw := strings.Builder{}
	for p, content := range smallApp {
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
		if reply, err := answer(frame); err != nil || len(reply) < 500 {
			b.Fatal(err)
		}
	}
}
