package fleet

import (
	"cmp"
	"fmt"
	"path/filepath"
	"strings"
)

// Controllers of the two kinds of cluster. A hub runs no pods. Members need
// node-lifecycle: without it a node keeps the not-ready taint it is born with.
var (
	hubControllers = []string{
		"namespace-controller", "serviceaccount-controller", "garbage-collector-controller",
	}
	memberControllers = append([]string{
		"serviceaccount-token-controller", "deployment-controller", "replicaset-controller", "endpointslice-controller",
		"horizontal-pod-autoscaler-controller", "disruption-controller", "node-lifecycle-controller",
	}, hubControllers...)
)

// auditPolicy logs every request once it is answered, watches when they start.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
`

func etcdArgs(e *etcd, fsync bool) []string {
	args := append(etcdMember(e, e.dataDir),
		"--listen-client-urls="+e.url, "--advertise-client-urls="+e.url,
		"--listen-peer-urls="+e.peerURL,
		"--client-cert-auth", "--trusted-ca-file="+e.ca, "--cert-file="+e.cert, "--key-file="+e.key,
		"--peer-client-cert-auth", "--peer-trusted-ca-file="+e.ca, "--peer-cert-file="+e.cert, "--peer-key-file="+e.key,
		"--quota-backend-bytes=8589934592",
		"--log-level=warn",
	)
	if !fsync {
		args = append(args, "--unsafe-no-fsync")
	}
	return args
}

// etcdMember is what etcd and a restore of its data must agree on.
func etcdMember(e *etcd, dataDir string) []string {
	return []string{
		"--name=fleet",
		"--data-dir=" + dataDir,
		"--initial-cluster=fleet=" + e.peerURL, "--initial-advertise-peer-urls=" + e.peerURL,
	}
}

// etcdAccess is how an API server reaches etcd.
type etcdAccess struct{ url, ca, cert, key string }

func apiServerArgs(name, dir string, port int, etcd etcdAccess) []string {
	in := func(file string) string { return filepath.Join(dir, file) }
	return []string{
		"--etcd-servers=" + etcd.url, "--etcd-prefix=/" + name,
		"--etcd-cafile=" + etcd.ca, "--etcd-certfile=" + etcd.cert, "--etcd-keyfile=" + etcd.key,
		fmt.Sprintf("--secure-port=%d", port), "--bind-address=127.0.0.1",
		// A machine without a network has no other address to advertise, and
		// nothing here goes through the kubernetes Service.
		"--advertise-address=127.0.0.1", "--endpoint-reconciler-type=none",
		"--tls-cert-file=" + in("apiserver.crt"), "--tls-private-key-file=" + in("apiserver.key"),
		"--client-ca-file=" + in("ca.crt"),
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + in("sa.key"), "--service-account-signing-key-file=" + in("sa.key"),
		"--authorization-mode=RBAC",
		"--service-cluster-ip-range=10.0.0.0/16",
		"--audit-policy-file=" + in("audit-policy.yaml"), "--audit-log-path=" + in("audit.log"),
		"--audit-log-mode=blocking", "--audit-log-maxsize=10000",
		"--profiling=false",
	}
}

func controllerManagerArgs(dir string, controllers []string) []string {
	return []string{
		"--kubeconfig=" + filepath.Join(dir, "controller-manager.kubeconfig"),
		"--leader-elect=false", "--secure-port=0", "--profiling=false",
		"--service-account-private-key-file=" + filepath.Join(dir, "sa.key"),
		"--use-service-account-credentials",
		"--controllers=" + strings.Join(controllers, ","),
		// Fake nodes send no heartbeats; a day is longer than any fleet lives.
		"--node-monitor-grace-period=24h",
	}
}

func schedulerArgs(dir string) []string {
	return []string{
		"--kubeconfig=" + filepath.Join(dir, "scheduler.kubeconfig"),
		"--leader-elect=false", "--secure-port=0", "--profiling=false",
	}
}

func kwokArgs(dir string) []string {
	return []string{
		"--kubeconfig=" + filepath.Join(dir, "kwok.kubeconfig"),
		"--config=" + filepath.Join(dir, "stages.yaml"),
		"--manage-all-nodes",
		"--cidr=10.244.0.0/16",
		"--v=WARN",
	}
}

type hubParams struct {
	kubeconfig, metricsAddr, metricsCerts, healthAddr string
	webhookAddr, webhookCerts                         string // empty: no webhook
	extra                                             []string
}

func hubArgs(p hubParams) []string {
	args := []string{
		"--kubeconfig=" + p.kubeconfig,
		"--namespace=" + HubNamespace,
		"--leader-elect=true",
		"--metrics-bind-address=" + p.metricsAddr,
		"--metrics-cert-dir=" + p.metricsCerts,
		"--health-probe-bind-address=" + p.healthAddr,
		"--log-format=text",
	}
	if p.webhookAddr != "" {
		args = append(args, "--webhook-bind-address="+p.webhookAddr, "--webhook-cert-dir="+p.webhookCerts)
	}
	return append(args, p.extra...)
}

type agentParams struct {
	member, secret, kubeconfig, healthAddr string
	metricsAddr                            string // empty: no metrics

	AgentRun
}

func agentArgs(p agentParams) []string {
	return append([]string{
		"--secret=" + p.secret,
		"--kubeconfig=" + p.kubeconfig,
		"--metrics-bind-address=" + cmp.Or(p.metricsAddr, "0"),
		"--health-probe-bind-address=" + p.healthAddr,
		"--log-format=text",
	}, p.Args...)
}
