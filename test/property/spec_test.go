package property

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
)

// draft is a spec that is being made up.
type draft struct {
	dice
	app  string
	spec obj
	// ports are the names of the app's ports; taken are the numbers of the pod's.
	ports []string
	taken map[string]bool
	// serviceType is the type that overrides give the Service; empty until one does.
	serviceType string
}

// makeSpec makes up a valid spec of an app of that name.
func makeSpec(d dice, app string) obj {
	g := &draft{dice: d, app: app, spec: obj{}, taken: map[string]bool{}}
	g.spec["image"] = g.image()
	g.perhaps(70, g.spec, "ports", func() any { return g.containerPorts("p", &g.ports) })
	for _, f := range []struct {
		percent int
		field   string
		make    func() any
	}{
		{60, "env", func() any { return g.env() }},
		{30, "envFrom", func() any { return g.envFrom() }},
		{30, "command", func() any { return g.words() }},
		{30, "args", func() any { return g.words() }},
		{60, "resources", func() any { return g.resources() }},
		{50, "probes", g.probes},
		{60, "service", g.service},
		{40, "config", g.config},
		{20, "configMountPath", func() any { return pick(g.dice, "/etc/web", "/x", "/with space/and-ü", "/etc/config/") }},
		{30, "localSecrets", func() any { return pick(g.dice, list{"db"}, list{"tls", "db"}, list{"nobody-has-it"}) }},
		{30, "sidecars", g.sidecars},
		{60, "podTemplate", g.podTemplate},
		{30, "serviceAccount", func() any { return pick(g.dice, obj{}, obj{"annotations": g.annotations()}) }},
		{25, "autoscaling", g.autoscaling},
		{25, "disruption", g.disruption},
		{60, "manifests", g.manifests},
		{40, "replicas", func() any { return pick(g.dice, 0, 1, 3, 100000) }},
		{20, "drift", g.drift},
		{20, "adoption", func() any { return pick(g.dice, "Never", "IfIdentical", "Always") }},
		{10, "placement", func() any { return obj{"clusterSelector": g.selector()} }},
		{10, "deletionPolicy", func() any { return "Delete" }},
		{10, "revisionHistoryLimit", func() any { return g.IntN(5) }},
		{5, "paused", func() any { return false }},
		{10, "healthRules", func() any {
			return list{obj{"group": "property.example.org", "kind": "Widget", "ready": "object.spec.size > 0"}}
		}},
		{50, "overrides", g.overrides},
	} {
		g.perhaps(f.percent, g.spec, f.field, f.make)
	}
	return copied(g.spec)
}

// copied makes numbers and lists what JSON has, in a value of its own.
func copied(m obj) obj {
	return runtime.DeepCopyJSONValue(normal(m)).(obj)
}

func normal(value any) any {
	switch value := value.(type) {
	case int:
		return int64(value)
	case obj:
		for k, v := range value {
			value[k] = normal(v)
		}
	case list:
		for i, v := range value {
			value[i] = normal(v)
		}
	}
	return value
}

// containerPorts are ports that no other container of the pod has.
func (g *draft) containerPorts(prefix string, names *[]string) list {
	protocols := []string{"TCP", "UDP", "SCTP"}
	return slices.DeleteFunc(g.repeat(1, 4, func(i int) any {
		number, protocol := pick(g.dice, 1, 53, 80, 443, 8080, 9090, 65535), pick(g.dice, protocols...)
		key := fmt.Sprint(number, protocol)
		if g.taken[key] {
			return nil
		}
		g.taken[key] = true
		p := obj{"containerPort": number}
		if protocol != "TCP" || g.chance(50) {
			p["protocol"] = protocol
		}
		if g.chance(70) {
			name := fmt.Sprintf("%s%d", prefix, i)
			p["name"] = name
			if names != nil {
				*names = append(*names, name)
			}
		}
		return p
	}), func(p any) bool { return p == nil })
}

func (g *draft) words() list {
	return g.repeat(0, 4, func(int) any { return g.text0() })
}

// text0 is a text without variables of the cluster.
func (g *draft) text0() string { return strings.ReplaceAll(g.text(), "$$(cluster.name)", "$$(NAME)") }

func (g *draft) env() list {
	used := map[string]bool{}
	return slices.DeleteFunc(g.repeat(0, 6, func(int) any {
		name := pick(g.dice, "A", "LOG_LEVEL", "lower.case-with_all", "URL", "_", "SECRET", "FROM", "Z9")
		if used[name] {
			return nil
		}
		used[name] = true
		return g.envVar(name)
	}), func(v any) bool { return v == nil })
}

func (g *draft) envVar(name string) obj {
	e := obj{"name": name}
	switch g.IntN(8) {
	case 0: // a variable without a value
	case 1:
		e["valueFrom"] = obj{"configMapKeyRef": g.optional(obj{"name": "settings", "key": "a.b"})}
	case 2:
		e["valueFrom"] = obj{"secretKeyRef": g.optional(obj{"name": g.secret(), "key": pick(g.dice, "password", "tls.crt")})}
	case 3:
		e["valueFrom"] = obj{"fieldRef": pick(g.dice, obj{"fieldPath": "status.podIP"}, obj{"fieldPath": "metadata.name", "apiVersion": "v1"}, obj{"fieldPath": "metadata.labels['a/b']"})}
	case 4:
		e["valueFrom"] = obj{"resourceFieldRef": pick(g.dice, obj{"resource": "limits.cpu"}, obj{"resource": "requests.memory", "divisor": "1Mi"}, obj{"resource": "limits.memory", "divisor": 0, "containerName": g.app})}
	case 5:
		e["value"] = g.clusterText()
	default:
		e["value"] = g.text()
	}
	return e
}

func (g *draft) envFrom() list {
	return g.repeat(0, 3, func(int) any {
		e := obj{}
		g.perhaps(40, e, "prefix", func() any { return pick(g.dice, "", "P_", "x.") })
		if g.chance(50) {
			e["configMapRef"] = g.optional(obj{"name": pick(g.dice, "settings", "more-settings")})
		} else {
			e["secretRef"] = g.optional(obj{"name": g.secret()})
		}
		return e
	})
}

func (g *draft) optional(ref obj) obj {
	g.perhaps(30, ref, "optional", func() any { return g.chance(50) })
	return ref
}

// secret is the name of a Secret that pods refer to.
func (g *draft) secret() string { return pick(g.dice, "db", "tls", "registry.example.com", "absent") }

func (g *draft) probes() any {
	probes := obj{}
	g.perhaps(50, probes, "liveness", func() any { return g.probe("liveness") })
	g.perhaps(50, probes, "readiness", func() any { return g.probe("readiness") })
	g.perhaps(50, probes, "startup", func() any { return g.probe("startup") })
	return probes
}

func (g *draft) port() any {
	if len(g.ports) > 0 && g.chance(50) {
		return pick(g.dice, g.ports...)
	}
	return pick(g.dice, 80, 8080, 65535)
}

func (g *draft) probe(which string) obj {
	p := obj{}
	switch g.IntN(4) {
	case 0:
		p["exec"] = obj{"command": append(list{"/bin/true"}, g.words()...)}
	case 1:
		get := obj{"port": g.port()}
		g.perhaps(60, get, "path", func() any { return pick(g.dice, "/ready", "/", "/a?b=c", "") })
		g.perhaps(30, get, "scheme", func() any { return pick(g.dice, "HTTP", "HTTPS") })
		g.perhaps(20, get, "host", func() any { return pick(g.dice, "localhost", "127.0.0.1") })
		g.perhaps(30, get, "httpHeaders", func() any {
			return g.repeat(0, 2, func(i int) any { return obj{"name": fmt.Sprintf("X-H%d", i), "value": g.text()} })
		})
		p["httpGet"] = get
	case 2:
		socket := obj{"port": g.port()}
		g.perhaps(30, socket, "host", func() any { return "localhost" })
		p["tcpSocket"] = socket
	case 3:
		grpc := obj{"port": pick(g.dice, 1, 9090)}
		g.perhaps(50, grpc, "service", func() any { return pick(g.dice, "", "ready") })
		p["grpc"] = grpc
	}
	for _, field := range []string{"initialDelaySeconds", "timeoutSeconds", "periodSeconds", "failureThreshold"} {
		g.perhaps(30, p, field, func() any { return pick(g.dice, 0, 1, 5, 3600) })
	}
	if which == "readiness" {
		g.perhaps(30, p, "successThreshold", func() any { return g.IntN(4) })
	} else {
		g.perhaps(30, p, "successThreshold", func() any { return g.IntN(2) })
		g.perhaps(30, p, "terminationGracePeriodSeconds", func() any { return pick(g.dice, 1, 30) })
	}
	return p
}

func (g *draft) service() any {
	s := obj{"ports": list{}}
	g.perhaps(60, s, "type", func() any { return pick(g.dice, "ClusterIP", "ClusterIP", "NodePort", "LoadBalancer") })
	used, n := map[string]bool{}, g.between(1, 4)
	var ports list
	for i := range n {
		number, protocol := pick(g.dice, 53, 80, 443), pick(g.dice, "TCP", "UDP", "SCTP")
		key := fmt.Sprint(number, protocol)
		if used[key] {
			continue
		}
		used[key] = true
		p := obj{"port": number}
		if protocol != "TCP" || g.chance(50) {
			p["protocol"] = protocol
		}
		if n > 1 || g.chance(50) {
			p["name"] = pick(g.dice, "http", "a-rather-long-name-for-a-port-of-a-service") + fmt.Sprint(i)
		}
		g.perhaps(60, p, "targetPort", g.port)
		ports = append(ports, p)
	}
	s["ports"] = ports
	return s
}

func (g *draft) config() any {
	c := obj{}
	for range g.IntN(5) {
		key := pick(g.dice, "app.yaml", ".hidden", "UPPER_lower-1.2", "a", strings.Repeat("long", 63), "-", "0")
		c[key] = g.text()
		if g.chance(3) {
			c[key] = strings.Repeat(pick(g.dice, "big ", "größer", "a\n\"<"), g.between(1000, 20000))
		}
	}
	return c
}

func (g *draft) sidecars() any {
	return g.repeat(0, 3, func(i int) any {
		s := obj{"name": fmt.Sprintf("sidecar-%d", i), "image": g.image()}
		g.perhaps(40, s, "ports", func() any { return g.containerPorts(fmt.Sprintf("s%d-", i), nil) })
		g.perhaps(40, s, "env", func() any { return g.env() })
		g.perhaps(30, s, "envFrom", func() any { return g.envFrom() })
		g.perhaps(30, s, "command", func() any { return g.words() })
		g.perhaps(30, s, "args", func() any { return g.words() })
		g.perhaps(50, s, "resources", func() any { return g.resources() })
		return s
	})
}

func (g *draft) autoscaling() any {
	a := obj{"maxReplicas": g.between(5, 20)}
	g.perhaps(60, a, "minReplicas", func() any { return g.between(1, 5) })
	if g.chance(50) {
		a["targetCPUUtilization"] = pick(g.dice, 1, 70, 10000)
		g.perhaps(50, a, "targetMemoryUtilization", func() any { return 80 })
	} else {
		a["targetMemoryUtilization"] = 80
	}
	return a
}

func (g *draft) disruption() any {
	return obj{pick(g.dice, "minAvailable", "maxUnavailable"): pick[any](g.dice, 0, 1, "0%", "25%", "100%")}
}

func (g *draft) drift() any {
	drift := obj{}
	g.perhaps(60, drift, "mode", func() any { return pick(g.dice, "Correct", "Report") })
	g.perhaps(70, drift, "ignore", func() any {
		return g.repeat(0, 3, func(int) any {
			i := pick(g.dice,
				obj{"kind": "Deployment", "fields": list{"/spec/replicas"}},
				obj{"kind": "Deployment", "group": "apps", "fields": list{"/spec/template/spec/containers/" + g.app + "/resources", "/spec/template/metadata/annotations"}},
				obj{"kind": "Service", "name": g.app, "fields": list{"/spec/ports/0", "/metadata/annotations/example.org~1note"}},
				obj{"kind": "ConfigMap", "fields": list{"/data"}},
				obj{"kind": "Widget", "fields": list{"/spec/items", "/spec/free"}},
				obj{"kind": "Nothing", "fields": list{"/spec"}},
			)
			return i
		})
	})
	return drift
}
