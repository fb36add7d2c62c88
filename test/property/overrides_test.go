package property

func (g *draft) selector() obj {
	return pick(g.dice, obj{}, obj{"matchLabels": obj{"region": pick(g.dice, "eu", "us")}},
		obj{"matchExpressions": list{obj{"key": "example.org/tier", "operator": pick(g.dice, "Exists", "DoesNotExist")}}},
		obj{"matchExpressions": list{obj{"key": "region", "operator": pick(g.dice, "In", "NotIn"), "values": list{"eu", "ap"}}}})
}

func (g *draft) overrides() any {
	return g.repeat(0, 3, func(int) any {
		o := obj{}
		g.perhaps(40, o, "clusterSelector", func() any { return g.selector() })
		g.perhaps(30, o, "clusterNames", func() any { return pick(g.dice, list{member}, list{"other"}, list{"other", member}) })
		g.perhaps(30, o, "image", func() any {
			return pick(g.dice, obj{"registry": "mirror.eu.example.com:5000/hub"}, obj{"tag": "2"}, obj{"repository": "team/web", "tag": "1.5_x"},
				obj{"digest": "sha256:4bcff63911fcb4448bd4fdacec207030997caf25e9bea4045fa6c8c44de311d2"}, obj{})
		})
		g.perhaps(30, o, "env", func() any { return g.env() })
		g.perhaps(20, o, "args", func() any { return g.words() })
		g.perhaps(30, o, "resources", func() any { return g.resources() })
		if g.spec["autoscaling"] == nil {
			g.perhaps(20, o, "replicas", func() any { return g.IntN(5) })
		}
		g.perhaps(50, o, "patches", g.patches)
		return o
	})
}

// patches are for objects that the app has.
func (g *draft) patches() any {
	palette := []func() any{
		func() any { return g.patch("Deployment", g.deploymentPatches()...) },
		func() any { return g.patch("Deployment", g.deploymentPatches()...) },
	}
	if g.spec["service"] != nil {
		palette = append(palette, func() any { return g.patch("Service", g.servicePatches()...) })
	}
	if g.spec["autoscaling"] != nil {
		palette = append(palette, func() any {
			return g.patch("HorizontalPodAutoscaler", pick(g.dice,
				add("/spec/behavior", obj{"scaleDown": obj{"stabilizationWindowSeconds": 0}}),
				add("/spec/behavior", obj{"scaleUp": obj{"policies": list{obj{"type": "Pods", "value": 4, "periodSeconds": 15}}}}),
				add("/spec/metrics/-", obj{"type": "Pods", "pods": obj{"metric": obj{"name": "rps"}, "target": obj{"type": "AverageValue", "averageValue": pick[any](g.dice, "1k", "1000", "1000000m")}}})))
		})
	}
	if g.spec["disruption"] != nil {
		palette = append(palette, func() any {
			return g.patch("PodDisruptionBudget", add("/spec/unhealthyPodEvictionPolicy", "AlwaysAllow"))
		})
	}
	if g.spec["serviceAccount"] != nil {
		palette = append(palette, func() any {
			return g.patch("ServiceAccount", add("/imagePullSecrets", list{obj{"name": "a"}, obj{"name": "b"}}), add("/automountServiceAccountToken", g.chance(50)))
		})
	}
	return g.repeat(1, 3, func(int) any { return pick(g.dice, palette...)() })
}

func (g *draft) patch(kind string, operations ...any) any {
	return obj{"target": obj{"kind": kind, "name": g.app}, "patch": operations}
}

func add(path string, value any) obj { return obj{"op": "add", "path": path, "value": value} }

func (g *draft) deploymentPatches() []any {
	container := "/spec/template/spec/containers/0/"
	return pick(g.dice,
		[]any{add("/spec/strategy", pick(g.dice, obj{"type": "Recreate"}, obj{"type": "RollingUpdate"}, obj{"rollingUpdate": obj{"maxSurge": pick[any](g.dice, 0, 1, "25%"), "maxUnavailable": 1}}))},
		[]any{add("/spec/minReadySeconds", g.IntN(9)), add("/spec/revisionHistoryLimit", g.IntN(3)), add("/spec/progressDeadlineSeconds", pick(g.dice, 60, 600))},
		[]any{add("/metadata/annotations", obj{"example.org/host": "web." + g.clusterText()}), add("/metadata/annotations/a~1b", g.text())},
		[]any{add("/metadata/labels/example.org~1part", g.labelValue())},
		[]any{obj{"op": "test", "path": "/kind", "value": "Deployment"}, add(container+"imagePullPolicy", "Always")},
		[]any{obj{"op": "copy", "from": "/spec/template/metadata/labels/app.kubernetes.io~1name", "path": "/spec/template/metadata/labels/copied"}},
		[]any{add(container+"env", g.env())},
		[]any{add("/spec/template/spec/terminationGracePeriodSeconds", g.IntN(60)), obj{"op": "remove", "path": "/spec/template/spec/terminationGracePeriodSeconds"}},
		[]any{add("/spec/template/spec/hostAliases", list{obj{"ip": "10.0.0.1", "hostnames": list{"a"}}})},
		[]any{add("/spec/paused", g.chance(50))},
	)
}

func (g *draft) servicePatches() []any {
	if g.serviceType == "" { // one for the whole app: what goes with a type does not go with another
		g.serviceType = pick(g.dice, "NodePort", "LoadBalancer")
	}
	typed := []any{obj{"op": "replace", "path": "/spec/type", "value": g.serviceType}, add("/spec/externalTrafficPolicy", pick(g.dice, "Local", "Cluster"))}
	if g.serviceType == "LoadBalancer" && g.chance(50) {
		typed = append(typed, add("/spec/allocateLoadBalancerNodePorts", false), add("/spec/loadBalancerSourceRanges", list{"10.0.0.0/8", "192.168.0.0/16"}))
	}
	return pick(g.dice, typed,
		[]any{add("/spec/sessionAffinity", pick(g.dice, "ClientIP", "None"))},
		[]any{add("/spec/sessionAffinity", "ClientIP"), add("/spec/sessionAffinityConfig", obj{"clientIP": obj{"timeoutSeconds": 5}})},
		[]any{add("/spec/internalTrafficPolicy", pick(g.dice, "Local", "Cluster"))},
		[]any{add("/spec/ports/0/appProtocol", "http")},
		[]any{add("/spec/publishNotReadyAddresses", g.chance(50))},
		[]any{add("/spec/externalIPs", list{"192.0.2.1", "192.0.2.2"})},
		[]any{add("/spec/ipFamilyPolicy", "PreferDualStack")},
		[]any{add("/metadata/annotations", obj{"example.org/note": g.clusterText(), "x": g.text()})},
	)
}
