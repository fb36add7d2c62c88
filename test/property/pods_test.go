package property

import "fmt"

// podTemplate is a fragment that is put together from a palette.
func (g *draft) podTemplate() any {
	spec, metadata, app := obj{}, obj{}, obj{"name": g.app}
	g.perhaps(50, metadata, "annotations", func() any { return g.annotationsOfPods() })
	g.perhaps(30, metadata, "labels", func() any { return g.labels() })
	g.podFields(spec)
	g.volumes(spec, app)
	g.perhaps(30, spec, "initContainers", func() any {
		return g.repeat(1, 2, func(i int) any {
			c := obj{"name": fmt.Sprintf("init-%d", i), "image": "busybox", "command": g.words()}
			g.perhaps(40, c, "restartPolicy", func() any { return "Always" })
			g.perhaps(40, c, "env", func() any { return g.plainEnv() })
			g.perhaps(40, c, "resources", func() any { return g.resources() })
			g.containerFields(c)
			return c
		})
	})
	if g.chance(60) {
		g.containerFields(app)
		g.perhaps(30, app, "env", func() any { return g.plainEnv() })
	}
	var containers list
	if len(app) > 1 {
		containers = append(containers, app)
	}
	if g.chance(10) {
		containers = append(containers, obj{"name": "further", "image": "busybox"})
	}
	if len(containers) > 0 {
		spec["containers"] = containers
	}
	t := obj{}
	if len(metadata) > 0 || g.chance(5) {
		t["metadata"] = metadata
	}
	if len(spec) > 0 || g.chance(5) {
		t["spec"] = spec
	}
	return t
}

// annotationsOfPods have no variables of the cluster, which are refused there.
func (g *draft) annotationsOfPods() obj {
	m := g.annotations()
	for k := range m {
		m[k] = g.text0()
	}
	return m
}

func (g *draft) plainEnv() list {
	var env list
	for _, name := range []string{"A", "NEW", "SECRET"} {
		if !g.chance(40) {
			continue
		}
		switch g.IntN(4) {
		case 0: // not what another source may be merged into
			env = append(env, obj{"name": name + "_2", "value": nil, "valueFrom": obj{"secretKeyRef": obj{"name": g.secret(), "key": "k"}}})
		case 1:
			env = append(env, obj{"name": name, "$patch": "delete"})
		default:
			env = append(env, obj{"name": name, "value": g.text0(), "valueFrom": nil})
		}
	}
	return env
}

func (g *draft) podFields(spec obj) {
	for _, f := range []struct {
		field string
		make  func() any
	}{
		{"tolerations", func() any {
			return g.repeat(0, 3, func(int) any {
				return pick(g.dice, obj{"operator": "Exists"}, obj{"key": "a", "value": "", "effect": "NoSchedule"}, obj{"key": "example.org/x", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 0}, obj{"key": "a", "operator": "Equal", "value": "1"})
			})
		}},
		{"affinity", g.affinity},
		{"topologySpreadConstraints", func() any {
			return list{obj{
				"maxSkew": 1, "topologyKey": pick(g.dice, "zone", "kubernetes.io/hostname"), "whenUnsatisfiable": pick(g.dice, "DoNotSchedule", "ScheduleAnyway"),
				"labelSelector": obj{"matchLabels": obj{"example.com/app": g.app}}, "matchLabelKeys": list{"pod-template-hash"},
			}}
		}},
		{"terminationGracePeriodSeconds", func() any { return pick[any](g.dice, 0, 30, 60, nil) }},
		{"priorityClassName", func() any { return "high" }},
		{"nodeSelector", func() any { return pick(g.dice, obj{}, obj{"disk": "ssd", "example.org/a": ""}) }},
		{"hostAliases", func() any {
			return list{obj{"ip": "127.0.0.1", "hostnames": list{"a.local", "b.local"}}, obj{"ip": "::1"}}[:g.between(1, 2)]
		}},
		{"dnsPolicy", func() any { return pick(g.dice, "ClusterFirst", "Default", "ClusterFirstWithHostNet") }},
		{"dnsConfig", func() any {
			return obj{"nameservers": list{"10.0.0.1"}, "searches": list{}, "options": list{obj{"name": "ndots", "value": "2"}, obj{"name": "edns0"}}}
		}},
		{"securityContext", g.podSecurity},
		{"shareProcessNamespace", func() any { return g.chance(50) }},
		{"enableServiceLinks", func() any { return g.chance(50) }},
		{"automountServiceAccountToken", func() any { return g.chance(50) }},
		{"schedulerName", func() any { return pick(g.dice, "default-scheduler", "mine") }},
		{"runtimeClassName", func() any { return "gvisor" }},
		{"subdomain", func() any { return "sub" }},
		{"setHostnameAsFQDN", func() any { return g.chance(50) }},
		{"readinessGates", func() any { return list{obj{"conditionType": "example.org/ready"}} }},
		{"imagePullSecrets", func() any {
			return pick(g.dice, list{obj{"name": "registry.example.com"}}, list{obj{"name": g.secret()}})
		}},
		{"hostNetwork", func() any { return g.chance(50) }},
		{"os", func() any { return obj{"name": "linux"} }},
		{"restartPolicy", func() any { return "Always" }},
		{"preemptionPolicy", func() any { return "Never" }},
	} {
		g.perhaps(8, spec, f.field, f.make)
	}
	if security, ok := spec["securityContext"].(obj); ok && spec["hostNetwork"] == true {
		delete(security, "sysctls") // those of the network are the node's
	}
}

func (g *draft) affinity() any {
	term := func() any {
		return obj{"topologyKey": "zone", "labelSelector": pick(g.dice, obj{}, obj{"matchExpressions": list{obj{"key": "a", "operator": "In", "values": list{"1", "2"}}, obj{"key": "b", "operator": "Exists"}}})}
	}
	a := obj{}
	g.perhaps(50, a, "podAntiAffinity", func() any {
		return obj{"preferredDuringSchedulingIgnoredDuringExecution": list{obj{"weight": 1, "podAffinityTerm": term()}, obj{"weight": 100, "podAffinityTerm": term()}}}
	})
	g.perhaps(50, a, "podAffinity", func() any { return obj{"requiredDuringSchedulingIgnoredDuringExecution": list{term(), term()}} })
	g.perhaps(50, a, "nodeAffinity", func() any {
		return obj{"requiredDuringSchedulingIgnoredDuringExecution": obj{"nodeSelectorTerms": list{obj{"matchExpressions": list{obj{"key": "kubernetes.io/arch", "operator": "In", "values": list{"amd64"}}}}, obj{"matchFields": list{obj{"key": "metadata.name", "operator": "NotIn", "values": list{"n1"}}}}}}}
	})
	return a
}

func (g *draft) podSecurity() any {
	s := obj{}
	g.perhaps(50, s, "runAsUser", func() any { return pick(g.dice, 0, 1000) })
	g.perhaps(50, s, "fsGroup", func() any { return 2000 })
	g.perhaps(30, s, "fsGroupChangePolicy", func() any { return "OnRootMismatch" })
	g.perhaps(50, s, "supplementalGroups", func() any { return list{1, 2} })
	g.perhaps(50, s, "seccompProfile", func() any { return obj{"type": "RuntimeDefault"} })
	g.perhaps(30, s, "sysctls", func() any { return list{obj{"name": "net.ipv4.tcp_syncookies", "value": "1"}} })
	g.perhaps(30, s, "runAsNonRoot", func() any { return g.chance(50) })
	return s
}

// volumes adds volumes, and mounts of them in the app's container.
func (g *draft) volumes(spec, app obj) {
	var volumes, mounts list
	for i := range g.IntN(4) {
		name := fmt.Sprintf("volume-%d", i)
		v := obj{"name": name}
		kind, source := g.volumeSource()
		v[kind] = source
		volumes = append(volumes, v)
		if g.chance(70) {
			m := obj{"name": name, "mountPath": pick(g.dice, "/tmp", "/data", "/var/lib/ü x", "/m") + fmt.Sprint(i)}
			g.perhaps(30, m, "readOnly", func() any { return g.chance(50) })
			g.perhaps(20, m, "subPath", func() any { return "sub/path" })
			g.perhaps(10, m, "mountPropagation", func() any { return "HostToContainer" })
			mounts = append(mounts, m)
		}
	}
	if volumes != nil {
		spec["volumes"] = volumes
	}
	if mounts != nil {
		app["volumeMounts"] = mounts
	}
}

func (g *draft) volumeSource() (string, any) {
	items := list{obj{"key": "a", "path": "a"}, obj{"key": "b", "path": "dir/b", "mode": 0o400}}
	switch g.IntN(10) {
	case 0:
		return "emptyDir", pick(g.dice, obj{}, obj{"medium": "Memory"}, obj{"sizeLimit": pick[any](g.dice, "64Mi", "0.5Gi", 1000, "0")}, obj{"medium": ""})
	case 1:
		return "configMap", g.optional(pick(g.dice, obj{"name": "settings"}, obj{"name": "settings", "items": items, "defaultMode": 0o440}))
	case 2:
		return "secret", g.optional(pick(g.dice, obj{"secretName": g.secret()}, obj{"secretName": g.secret(), "items": items, "defaultMode": 0o400}))
	case 3:
		return "projected", obj{"sources": list{
			obj{"serviceAccountToken": pick(g.dice, obj{"path": "token"}, obj{"path": "token", "expirationSeconds": 600, "audience": "x"})},
			obj{"secret": g.optional(obj{"name": g.secret(), "items": items})}, obj{"configMap": obj{"name": "settings"}},
			obj{"downwardAPI": obj{"items": list{obj{"path": "labels", "fieldRef": obj{"fieldPath": "metadata.labels"}}}}},
		}}
	case 4:
		return "downwardAPI", obj{"items": list{obj{"path": "cpu", "resourceFieldRef": obj{"containerName": g.app, "resource": "limits.cpu", "divisor": pick(g.dice, "1m", "1", "1000m")}}}}
	case 5:
		return "hostPath", pick(g.dice, obj{"path": "/var/log"}, obj{"path": "/var/log", "type": "DirectoryOrCreate"}, obj{"path": "/var/log", "type": ""})
	case 6:
		return "persistentVolumeClaim", pick(g.dice, obj{"claimName": "data"}, obj{"claimName": "data", "readOnly": true})
	case 7:
		return "ephemeral", obj{"volumeClaimTemplate": obj{"spec": obj{"accessModes": list{"ReadWriteOnce"}, "storageClassName": "fast", "resources": obj{"requests": obj{"storage": pick[any](g.dice, "1Gi", "1024Mi", 1000)}}}}}
	case 8:
		return "csi", obj{"driver": "csi.example.org", "volumeAttributes": obj{"a": g.text0()}, "nodePublishSecretRef": obj{"name": g.secret()}}
	default:
		return "nfs", obj{"server": "nfs.example.org", "path": "/export"}
	}
}

func (g *draft) containerFields(c obj) {
	for _, f := range []struct {
		field string
		make  func() any
	}{
		{"securityContext", func() any {
			return pick(g.dice, obj{}, obj{"runAsNonRoot": true, "runAsUser": 1000, "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": obj{"drop": list{"ALL"}, "add": list{"NET_BIND_SERVICE"}}},
				obj{"privileged": false, "procMount": "Default", "seccompProfile": obj{"type": "Localhost", "localhostProfile": "a.json"}})
		}},
		{"imagePullPolicy", func() any { return pick(g.dice, "Always", "IfNotPresent", "Never") }},
		{"workingDir", func() any { return "/srv" }},
		{"terminationMessagePath", func() any { return "/dev/termination" }},
		{"terminationMessagePolicy", func() any { return "FallbackToLogsOnError" }},
		{"stdin", func() any { return g.chance(50) }},
		{"tty", func() any { return g.chance(50) }},
		{"resizePolicy", func() any {
			return list{obj{"resourceName": "cpu", "restartPolicy": "NotRequired"}, obj{"resourceName": "memory", "restartPolicy": "NotRequired"}}
		}},
	} {
		g.perhaps(15, c, f.field, f.make)
	}
	if c["name"] == g.app {
		g.perhaps(15, c, "lifecycle", func() any {
			return obj{"preStop": pick(g.dice, obj{"exec": obj{"command": list{"/bin/sh", "-c", "sleep 5"}}}, obj{"httpGet": obj{"path": "/stop", "port": 8080}})}
		})
	}
}
