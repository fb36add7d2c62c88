package property

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/example/myapp-hub/pkg/manifest"
)

// manifests are objects of a palette, at most one of each.
func (g *draft) manifests() any {
	var all list
	for _, m := range []struct {
		apiVersion, kind string
		make             func(o obj)
	}{
		{"networking.k8s.io/v1", "NetworkPolicy", g.networkPolicy},
		{"v1", "ConfigMap", g.configMap},
		{"networking.k8s.io/v1", "Ingress", g.ingress},
		{"v1", "ResourceQuota", func(o obj) {
			o["spec"] = obj{"hard": obj{"requests.example.org/gpu": pick[any](g.dice, 0, "1k", "1000"), "count/podtemplates": pick[any](g.dice, 5, "5000m")}}
		}},
		{"v1", "LimitRange", func(o obj) {
			o["spec"] = obj{"limits": list{obj{"type": "Container", "default": obj{"cpu": g.quantity("cpu", 1)}, "max": obj{"cpu": pick[any](g.dice, "3k", 5000, "4000000m")}}}}
		}},
		{"batch/v1", "Job", g.job},
		{"batch/v1", "CronJob", func(o obj) {
			job := obj{}
			g.job(job)
			o["spec"] = obj{"schedule": "0 * * * *", "jobTemplate": obj{"metadata": obj{"annotations": g.annotations()}, "spec": job["spec"]}}
			g.perhaps(30, o["spec"].(obj), "timeZone", func() any { return "Etc/UTC" })
			g.perhaps(30, o["spec"].(obj), "concurrencyPolicy", func() any { return "Forbid" })
			g.perhaps(30, o["spec"].(obj), "suspend", func() any { return g.chance(50) })
		}},
		{"apps/v1", "StatefulSet", g.statefulSet},
		{"rbac.authorization.k8s.io/v1", "Role", func(o obj) {
			o["rules"] = g.repeat(0, 2, func(int) any {
				return obj{"apiGroups": list{"", "apps"}, "resources": list{"configmaps"}, "verbs": pick(g.dice, list{"get"}, list{"*"}), "resourceNames": list{}}
			})
		}},
		{"rbac.authorization.k8s.io/v1", "RoleBinding", func(o obj) {
			o["roleRef"] = obj{"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": g.app}
			o["subjects"] = g.repeat(0, 2, func(i int) any {
				return pick(g.dice, obj{"kind": "ServiceAccount", "name": fmt.Sprint("sa-", i), "namespace": "x"}, obj{"kind": "User", "name": "ü", "apiGroup": "rbac.authorization.k8s.io"})
			})
		}},
		{"v1", "Service", func(o obj) {
			o["spec"] = pick(g.dice, obj{"clusterIP": "None", "ports": list{obj{"port": 53, "protocol": "UDP", "name": "u"}, obj{"port": 53, "protocol": "TCP", "name": "t"}}, "selector": obj{"example.com/app": g.app}},
				obj{"type": "ExternalName", "externalName": "db.example.org"}, obj{"clusterIP": "None", "selector": obj{"a": ""}, "publishNotReadyAddresses": true})
		}},
		{"coordination.k8s.io/v1", "Lease", func(o obj) {
			o["spec"] = pick(g.dice, obj{"holderIdentity": g.text0() + "x", "leaseDurationSeconds": 15}, obj{"renewTime": "2026-01-31T12:00:00.500000Z"}, obj{"acquireTime": "2026-01-31T12:00:00.000000Z", "renewTime": "2026-01-31T13:00:00.123456+01:00"})
		}},
		{"property.example.org/v1", "Widget", func(o obj) { o["spec"] = g.widget() }},
		{"property.example.org/v1", "Widget", func(o obj) { o["spec"] = g.widget() }},
	} {
		if !g.chance(20) {
			continue
		}
		o := obj{"apiVersion": m.apiVersion, "kind": m.kind}
		m.make(o)
		o["metadata"] = g.metadata(o, len(all))
		all = append(all, o)
	}
	return all
}

// metadata has a name that is the same for every spec of an app, but for kinds
// whose objects cannot be changed: those are others if they say something else.
func (g *draft) metadata(o obj, i int) obj {
	app := strings.TrimRight(g.app[:min(len(g.app), 30)], "-")
	m := obj{"name": app + "-" + strings.ToLower(o["kind"].(string))}
	if o["kind"] == "Widget" {
		m["name"] = fmt.Sprintf("%s-%d", app, i%2)
	}
	if unchangeable(o) {
		m["name"] = contentName(app, o)
	}
	g.perhaps(30, m, "labels", func() any { return g.labels() })
	g.perhaps(30, m, "annotations", func() any { return g.annotations() })
	g.perhaps(10, m, "creationTimestamp", func() any { return nil })
	g.perhaps(10, m, "annotations", func() any { return nil })
	g.perhaps(5, m, "finalizers", func() any { return list{} })
	g.perhaps(10, o, "status", func() any { return obj{} })
	return m
}

func unchangeable(o obj) bool {
	switch o["kind"] {
	case "Job", "StatefulSet", "RoleBinding", "Service":
		return true
	case "ConfigMap":
		return o["immutable"] == true
	}
	return false
}

func contentName(app string, o obj) string {
	data, err := json.Marshal(obj{"a": o["spec"], "b": o["data"], "c": o["binaryData"], "d": o["roleRef"], "e": o["kind"]})
	if err != nil {
		return app // cannot be: it is all maps, lists and strings
	}
	return app + "-" + manifest.Hash(data)
}

func (g *draft) networkPolicy(o obj) {
	peer := func() any {
		return pick(g.dice, obj{"podSelector": obj{}}, obj{"namespaceSelector": obj{"matchLabels": obj{"a": "b"}}}, obj{"ipBlock": obj{"cidr": "10.0.0.0/8", "except": list{"10.1.0.0/16"}}})
	}
	spec := obj{"podSelector": pick(g.dice, obj{}, obj{"matchLabels": obj{"example.com/app": g.app}})}
	g.perhaps(60, spec, "ingress", func() any {
		return g.repeat(0, 2, func(int) any {
			r := obj{}
			g.perhaps(60, r, "from", func() any { return g.repeat(0, 2, func(int) any { return peer() }) })
			g.perhaps(60, r, "ports", func() any {
				return g.repeat(0, 2, func(int) any {
					return pick(g.dice, obj{"port": 80}, obj{"port": "http", "protocol": "UDP"}, obj{"port": 80, "endPort": 90, "protocol": "TCP"}, obj{})
				})
			})
			return r
		})
	})
	g.perhaps(40, spec, "egress", func() any { return list{obj{}} })
	g.perhaps(40, spec, "policyTypes", func() any { return list{"Ingress", "Egress"} })
	o["spec"] = spec
}

func (g *draft) configMap(o obj) {
	g.perhaps(70, o, "data", func() any {
		data := obj{}
		for range g.IntN(4) {
			data[pick(g.dice, "a", "b.c", "D_e")] = g.text()
		}
		return data
	})
	g.perhaps(30, o, "binaryData", func() any { return obj{"bin": base64.StdEncoding.EncodeToString([]byte{0, 255, byte(g.IntN(256))})} })
	g.perhaps(20, o, "immutable", func() any { return g.chance(50) })
}

func (g *draft) ingress(o obj) {
	backend := obj{"service": obj{"name": g.app, "port": pick(g.dice, obj{"number": 80}, obj{"name": "http"})}}
	spec := obj{"rules": g.repeat(1, 2, func(i int) any {
		r := obj{"http": obj{"paths": g.repeat(1, 2, func(int) any {
			return obj{"path": pick(g.dice, "/", "/a/b", "/ü"), "pathType": pick(g.dice, "Prefix", "Exact", "ImplementationSpecific"), "backend": backend}
		})}}
		g.perhaps(70, r, "host", func() any { return pick(g.dice, "a.example.org", "*.example.org", "") })
		return r
	})}
	g.perhaps(30, spec, "tls", func() any { return list{obj{"hosts": list{"a.example.org"}, "secretName": "tls"}, obj{}} })
	g.perhaps(30, spec, "ingressClassName", func() any { return "nginx" })
	o["spec"] = spec
}

func (g *draft) pod(restart string) obj {
	spec := obj{"containers": list{obj{"name": "c", "image": "busybox", "args": g.words(), "resources": g.resources()}}}
	if restart != "" {
		spec["restartPolicy"] = restart
	}
	g.podFields(spec)
	for _, field := range []string{"restartPolicy", "terminationGracePeriodSeconds", "hostNetwork"} {
		if field != "restartPolicy" || restart == "" {
			delete(spec, field)
		}
	}
	if restart != "" {
		spec["restartPolicy"] = restart
	}
	return spec
}

func (g *draft) job(o obj) {
	spec := obj{"template": obj{"spec": g.pod(pick(g.dice, "Never", "OnFailure"))}}
	g.perhaps(40, spec, "backoffLimit", func() any { return g.IntN(3) })
	g.perhaps(40, spec, "ttlSecondsAfterFinished", func() any { return g.IntN(100) })
	g.perhaps(30, spec, "parallelism", func() any { return g.IntN(3) })
	g.perhaps(30, spec, "suspend", func() any { return g.chance(50) })
	o["spec"] = spec
}

func (g *draft) statefulSet(o obj) {
	labels := obj{"set": g.app}
	spec := obj{
		"serviceName": g.app, "selector": obj{"matchLabels": labels},
		"template": obj{"metadata": obj{"labels": labels, "creationTimestamp": nil}, "spec": g.pod("")},
	}
	g.perhaps(40, spec, "replicas", func() any { return g.IntN(3) })
	g.perhaps(40, spec, "volumeClaimTemplates", func() any {
		return list{obj{"metadata": obj{"name": "data"}, "spec": obj{"accessModes": list{"ReadWriteOnce"}, "resources": obj{"requests": obj{"storage": pick[any](g.dice, "1Gi", "1024Mi", 1024)}}}}}
	})
	g.perhaps(30, spec, "updateStrategy", func() any { return pick(g.dice, obj{"type": "OnDelete"}, obj{"rollingUpdate": obj{"partition": 0}}) })
	g.perhaps(30, spec, "persistentVolumeClaimRetentionPolicy", func() any { return obj{"whenDeleted": "Delete"} })
	o["spec"] = spec
}

// widget is the spec of a custom resource that has each kind of list and map;
// testdata/widgets.yaml has its schema.
func (g *draft) widget() obj {
	s := obj{}
	for _, f := range []struct {
		field string
		make  func() any
	}{
		{"size", func() any { return pick[any](g.dice, 0, -1, 1<<40) }},
		{"ratio", func() any { return pick[any](g.dice, 0.5, 1.0, 1e21, 3, -0.25) }},
		{"title", func() any { return g.text() }},
		{"port", func() any { return pick[any](g.dice, 80, "http", "80") }},
		{"maybe", func() any { return pick[any](g.dice, nil, "x", "") }},
		{"tags", func() any { return pick(g.dice, list{}, list{"b", "a"}, list{"", "ü", "a b"}) }},
		{"numbers", func() any { return pick(g.dice, list{}, list{3, 1, 2}) }},
		{"sequence", func() any { return pick(g.dice, list{}, list{1, 1, 2}, list{0}) }},
		{"items", func() any {
			return list{obj{"name": "a"}, obj{"name": "a", "protocol": "UDP", "weight": g.IntN(3)}, obj{"name": "b", "nested": obj{"on": g.chance(50)}}}[:g.between(0, 3)]
		}},
		{"table", func() any {
			return pick(g.dice, obj{}, obj{"k": obj{"value": 1}}, obj{"": obj{}, "a/b.c": obj{"value": 0}})
		}},
		{"atom", func() any { return pick(g.dice, obj{}, obj{"b": obj{"c": list{nil, 1}}}) }},
		{"free", func() any {
			return pick(g.dice, obj{}, obj{"a": nil, "b": list{obj{"x": 1}, obj{"x": 1}, list{}}, "c": 1.5, "d": ""}, obj{"deep": obj{"er": obj{}}})
		}},
	} {
		g.perhaps(35, s, f.field, f.make)
	}
	return s
}
