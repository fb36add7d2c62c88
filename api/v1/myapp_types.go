package v1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// MyApp is an application and the member clusters it runs on. The hub puts it
// on every chosen member, keeps it there and shows in the status how every
// member is doing.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:path=myapps,singular=myapp,shortName=ma,scope=Namespaced,categories=all
// +kubebuilder:subresource:status
// +kubebuilder:subresource:scale:specpath=.spec.replicas,statuspath=.status.replicas,selectorpath=.status.selector
// +kubebuilder:printcolumn:name="Ready",type=integer,JSONPath=`.status.summary.ready`,description="Members on which the app is ready."
// +kubebuilder:printcolumn:name="Updated",type=integer,JSONPath=`.status.summary.updated`,description="Members that run the current revision."
// +kubebuilder:printcolumn:name="Clusters",type=integer,JSONPath=`.status.summary.clusters`,description="Members that have, get or are losing the app."
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Unknown",type=integer,priority=1,JSONPath=`.status.summary.unknown`,description="Members that do not answer."
// +kubebuilder:printcolumn:name="Reason",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 63 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",message="metadata.name becomes the name of a Service and the value of a label on members: use at most 63 lower-case letters, digits and '-', starting with a letter and ending with a letter or digit"
type MyApp struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is what to run and where.
	// +required
	Spec MyAppSpec `json:"spec"`
	// Status is what the hub last knew of every member. Only the hub writes it.
	// +optional
	Status MyAppStatus `json:"status,omitempty,omitzero"`
}

// MyAppSpec is what to run and where.
//
// +kubebuilder:validation:XValidation:rule="self.?placement.?replicaScheduling.?type.orValue('-') != 'Divided' || !has(self.autoscaling)",message="autoscaling decides on the number of pods on each member, so there is nothing to divide: remove autoscaling or use replicaScheduling type Duplicated"
// +kubebuilder:validation:XValidation:rule="self.?placement.?replicaScheduling.?type.orValue('-') != 'Divided' || !has(self.overrides) || self.overrides.all(o, !has(o.replicas))",message="replicas are divided, so an override cannot set them: remove replicas from overrides, or use weights, minPerCluster and maxPerCluster of replicaScheduling"
// +kubebuilder:validation:XValidation:rule="!has(self.service) || self.service.ports.all(p, !has(p.targetPort) || type(p.targetPort) != string || (has(self.ports) && self.ports.exists(c, has(c.name) && c.name == p.targetPort)))",message="service.ports[].targetPort names a port that spec.ports does not have: add it to spec.ports or use a number"
// +kubebuilder:validation:XValidation:rule="[self.?probes.?liveness.?httpGet.?port, self.?probes.?liveness.?tcpSocket.?port, self.?probes.?readiness.?httpGet.?port, self.?probes.?readiness.?tcpSocket.?port, self.?probes.?startup.?httpGet.?port, self.?probes.?startup.?tcpSocket.?port].all(p, !p.hasValue() || type(p.value()) != string || (has(self.ports) && self.ports.exists(c, has(c.name) && c.name == p.value())))",message="a port of spec.probes names a port that spec.ports does not have: add it to spec.ports or use a number"
type MyAppSpec struct {
	// Image is the container image of the app, as a kubelet understands it.
	// A change rolls the pods on every member.
	// Example: registry.example.com/web:1.4
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="self.matches('^[^\\\\s]+$')",message="an image is a reference like registry.example.com/web:1.4 and contains no white space"
	Image string `json:"image"`

	// Replicas is the number of pods on each member, or on all of them together where
	// placement.replicaScheduling divides them. `kubectl scale` changes it.
	// A change does not start a new revision. With autoscaling it is not used.
	// Default: 1. Example: 3
	// +optional
	// +default=1
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100000
	Replicas *int32 `json:"replicas,omitempty"`

	// Ports are the ports the container listens on.
	// Default: none. Example: [{name: http, containerPort: 8080}]
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:XValidation:rule="self.all(a, !has(a.name) || self.exists_one(b, has(b.name) && b.name == a.name))",message="two ports have the same name: give each a name of its own"
	// +kubebuilder:validation:XValidation:rule="self.all(a, self.exists_one(b, b.containerPort == a.containerPort && b.protocol == a.protocol))",message="a containerPort is listed twice for the same protocol: remove one"
	Ports []Port `json:"ports,omitempty"`

	// Env are environment variables of the container, as in a Pod.
	// A ConfigMap it refers to must exist in the app's namespace on the member;
	// a Secret in the app's namespace on the hub, see localSecrets. In a value
	// and in spec.image, $(cluster.name), $(cluster.labels.KEY) and
	// $(cluster.properties.KEY) stand for what the MemberCluster says.
	// Default: none. Example: [{name: LOG_LEVEL, value: debug}]
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:XValidation:rule="self.all(e, !has(e.valueFrom) || !has(e.value) || e.value == '')",message="an environment variable has a value or a valueFrom, not both: remove one"
	// +kubebuilder:validation:XValidation:rule="self.all(e, !has(e.valueFrom) || [has(e.valueFrom.configMapKeyRef), has(e.valueFrom.secretKeyRef), has(e.valueFrom.fieldRef), has(e.valueFrom.resourceFieldRef)].filter(x, x).size() == 1)",message="valueFrom has exactly one of configMapKeyRef, secretKeyRef, fieldRef and resourceFieldRef"
	// +kubebuilder:validation:XValidation:rule="self.all(e, e.name != '')",message="an environment variable has an empty name: give it one"
	// +kubebuilder:validation:XValidation:rule="self.all(e, [e.?valueFrom.?configMapKeyRef.?name, e.?valueFrom.?configMapKeyRef.?key, e.?valueFrom.?secretKeyRef.?name, e.?valueFrom.?secretKeyRef.?key].all(n, n.orValue('-') != ''))",message="configMapKeyRef and secretKeyRef need a name and a key: name the object on the member and the key in it"
	Env []corev1.EnvVar `json:"env,omitempty"`

	// EnvFrom takes environment variables from ConfigMaps and Secrets, as in a
	// Pod. A ConfigMap must exist in the app's namespace on the member; a Secret
	// in the app's namespace on the hub, see localSecrets.
	// Default: none. Example: [{configMapRef: {name: web-settings}}]
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:XValidation:rule="self.all(e, has(e.configMapRef) != has(e.secretRef))",message="an envFrom entry has exactly one of configMapRef and secretRef"
	// +kubebuilder:validation:XValidation:rule="self.all(e, e.?configMapRef.?name.orValue('-') != '' && e.?secretRef.?name.orValue('-') != '')",message="configMapRef and secretRef need a name: that of the object on the member"
	EnvFrom []corev1.EnvFromSource `json:"envFrom,omitempty"`

	// Command replaces the image's entrypoint.
	// Default: the image's. Example: ["/bin/web"]
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Command []string `json:"command,omitempty"`

	// Args replaces the image's arguments.
	// Default: the image's. Example: ["--port=8080"]
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=256
	Args []string `json:"args,omitempty"`

	// Resources are the container's requests and limits.
	// Default: none. Example: {requests: {cpu: 100m, memory: 64Mi}}
	// +optional
	// +kubebuilder:validation:XValidation:rule="!has(self.requests) || !has(self.limits) || ['cpu', 'memory', 'ephemeral-storage'].all(r, !(r in self.requests) || !(r in self.limits) || quantity(string(self.requests[r])).compareTo(quantity(string(self.limits[r]))) <= 0)",message="a request is larger than its limit: lower resources.requests or raise resources.limits"
	// +kubebuilder:validation:XValidation:rule="!has(self.requests) || ['cpu', 'memory', 'ephemeral-storage'].all(r, !(r in self.requests) || quantity(string(self.requests[r])).compareTo(quantity('0')) >= 0)",message="a request is negative: use an amount like 100m of cpu or 64Mi of memory, or remove it"
	// +kubebuilder:validation:XValidation:rule="!has(self.limits) || ['cpu', 'memory', 'ephemeral-storage'].all(r, !(r in self.limits) || quantity(string(self.limits[r])).compareTo(quantity('0')) >= 0)",message="a limit is negative: use an amount like 100m of cpu or 64Mi of memory, or remove it"
	// +kubebuilder:validation:XValidation:rule="!has(self.claims)",message="claims need resource claims of the pod, which a MyApp does not have: remove resources.claims"
	Resources *corev1.ResourceRequirements `json:"resources,omitempty"`

	// Probes tell the kubelet how to see that the container is started, alive
	// and ready.
	// Default: none. Example: {readiness: {httpGet: {path: /ready, port: 8080}}}
	// +optional
	Probes *Probes `json:"probes,omitempty"`

	// Service makes the pods of each member reachable under the app's name.
	// Default: no Service.
	// +optional
	Service *Service `json:"service,omitempty"`

	// Config are files for the app: each key is a file in configMountPath of the
	// app's container, from a ConfigMap with the app's name. A change rolls the
	// pods. Default: none. Example: {app.yaml: "logLevel: debug"}
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	// +kubebuilder:validation:XValidation:rule="self.all(k, size(k) <= 253 && k.matches('^[-._a-zA-Z0-9]+$') && k != '.' && !k.startsWith('..'))",message="a key of config is the name of a file: use at most 253 letters, digits, '-', '_' and '.', and do not begin with '..'"
	Config map[string]ConfigValue `json:"config,omitempty"`

	// ConfigMountPath is the directory of the files of config.
	// Default: /etc/config. Example: /etc/web
	// +optional
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="self.startsWith('/') && size(self) > 1 && !self.contains(':')",message="configMountPath is an absolute directory without ':', and not the root: for example /etc/web"
	ConfigMountPath string `json:"configMountPath,omitempty"`

	// LocalSecrets are the names of Secrets that every member has itself, in the
	// app's namespace. Any other Secret that the app's pods refer to is copied
	// from the app's namespace on the hub, where it must exist and carry the
	// label example.com/propagate: "true"; the copy on a member is named
	// APP.SECRET and is kept in step.
	// Default: none. Example: [db-credentials]
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=253
	LocalSecrets []string `json:"localSecrets,omitempty"`

	// Sidecars are further containers of every pod.
	// Default: none. Example: [{name: proxy, image: registry.example.com/proxy:2.1}]
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=8
	Sidecars []Sidecar `json:"sidecars,omitempty"`

	// PodTemplate is a strategic merge patch on the pod template that the other
	// fields make, for what they do not offer. It is a partial PodTemplateSpec;
	// containers, volumes and the like merge by name. A field that a pod
	// template does not have is refused.
	// Default: none. Example: {spec: {priorityClassName: high, terminationGracePeriodSeconds: 60}}
	// +optional
	// +kubebuilder:pruning:PreserveUnknownFields
	PodTemplate *runtime.RawExtension `json:"podTemplate,omitempty"`

	// ServiceAccount makes a ServiceAccount with the app's name, under which the
	// pods run. Default: the namespace's default. Example: {}
	// +optional
	ServiceAccount *ServiceAccount `json:"serviceAccount,omitempty"`

	// Autoscaling makes a HorizontalPodAutoscaler on each member; replicas is
	// then not used. Default: none.
	// Example: {minReplicas: 2, maxReplicas: 20, targetCPUUtilization: 70}
	// +optional
	Autoscaling *Autoscaling `json:"autoscaling,omitempty"`

	// Disruption makes a PodDisruptionBudget on each member.
	// Default: none. Example: {minAvailable: 1}
	// +optional
	Disruption *Disruption `json:"disruption,omitempty"`

	// Manifests are further objects that belong to the app, of any namespaced
	// kind but Secret, in the app's namespace. Members must serve the kind and
	// let the hub or the agent write it.
	// Default: none. Example: [{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: web}, spec: {podSelector: {}}}]
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:pruning:PreserveUnknownFields
	Manifests []runtime.RawExtension `json:"manifests,omitempty"`

	// Placement says which members run the app.
	// Default: every ready member.
	// +optional
	Placement *Placement `json:"placement,omitempty"`

	// Failover says how the app leaves members that do not answer or are drained.
	// Default: after 300 s, one in five at one time. Example: {tolerationSeconds: 60}
	// +optional
	Failover *Failover `json:"failover,omitempty"`

	// Rollout says how a new revision reaches the members that have the app.
	// Default: all at once. Example: {type: Progressive, steps: [{name: canary, clusterNames: [eu-1], soakSeconds: 600}], onFailure: Rollback}
	// +optional
	Rollout *Rollout `json:"rollout,omitempty"`

	// DependsOn are other apps that must be there first: a member gets this app, or a new
	// revision of it, once they are. Taking it away and scaling it wait for nobody, nor does a
	// rollout in steps that goes back.
	// Default: none. Example: [{name: db, condition: Available}]
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	DependsOn []Dependency `json:"dependsOn,omitempty"`

	// Overrides change the app on some members, in their order; the later wins.
	// Default: none. Example: [{clusterNames: [eu-1], image: {registry: mirror.eu.example.com}}]
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	Overrides []Override `json:"overrides,omitempty"`

	// Drift says what happens when somebody changes the app's objects on a
	// member. Default: {mode: Correct}. Example: {mode: Report}
	// +optional
	Drift *Drift `json:"drift,omitempty"`

	// Adoption says what happens with an object that exists on a member before
	// the app is put there: Never leaves and reports it, IfIdentical takes it if
	// nothing but marks would change, Always takes it and changes it as needed.
	// Objects of another app are never taken.
	// Default: Never. Example: IfIdentical
	// +optional
	// +default="Never"
	Adoption AdoptionPolicy `json:"adoption,omitempty"`

	// HealthRules say when objects of manifests are healthy, for kinds whose
	// status follows no convention.
	// Default: none. Example: [{group: example.org, kind: Database, ready: object.status.phase == "Running"}]
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	HealthRules []HealthRule `json:"healthRules,omitempty"`

	// DeletionPolicy says what happens to the app's objects on a member that
	// the app leaves, because the MyApp is deleted or the member is no longer
	// chosen: Delete removes them, Orphan leaves them running and takes the
	// hub's labels and annotations off.
	// Default: Delete. Example: Orphan
	// +optional
	// +default="Delete"
	DeletionPolicy DeletionPolicy `json:"deletionPolicy,omitempty"`

	// Paused stops the hub from changing anything on any member: no new
	// member, no update, no removal. The status is kept up to date. Deleting
	// the MyApp works all the same.
	// Default: false. Example: true
	// +optional
	Paused bool `json:"paused,omitempty"`

	// RevisionHistoryLimit is how many revisions that no member uses are kept.
	// Default: 10. Example: 3
	// +optional
	// +default=10
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	RevisionHistoryLimit *int32 `json:"revisionHistoryLimit,omitempty"`
}

// DeletionPolicy is what becomes of objects on a member that an app leaves.
//
// +kubebuilder:validation:Enum=Delete;Orphan
type DeletionPolicy string

const (
	// DeletionDelete removes the app's objects from the member.
	DeletionDelete DeletionPolicy = "Delete"
	// DeletionOrphan leaves the objects and removes the hub's marks from them.
	DeletionOrphan DeletionPolicy = "Orphan"
)

// Port is a port that the container listens on.
type Port struct {
	// Name is how a Service or probe refers to the port.
	// Default: none. Example: http
	// +optional
	// +kubebuilder:validation:MaxLength=15
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$') && self.matches('[a-z]')",message="a port name has lower-case letters, digits and '-', with at least one letter, and starts and ends with a letter or digit: for example http"
	Name string `json:"name,omitempty"`
	// ContainerPort is the number of the port. Example: 8080
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	ContainerPort int32 `json:"containerPort"`
	// Protocol is TCP, UDP or SCTP.
	// Default: TCP. Example: UDP
	// +optional
	// +default="TCP"
	// +kubebuilder:validation:Enum=TCP;UDP;SCTP
	Protocol corev1.Protocol `json:"protocol,omitempty"`
}

// Probes are the container's health checks, each as in a Pod.
type Probes struct {
	// Liveness: a container that fails it is restarted. Default: none.
	// +optional
	// +kubebuilder:validation:XValidation:rule="[has(self.exec), has(self.grpc), has(self.httpGet), has(self.tcpSocket)].filter(x, x).size() == 1",message="a probe has exactly one of exec, grpc, httpGet and tcpSocket"
	// +kubebuilder:validation:XValidation:rule="!has(self.exec) || (has(self.exec.command) && size(self.exec.command) > 0)",message="exec.command is empty: name the command to run"
	// +kubebuilder:validation:XValidation:rule="[self.?httpGet.?port, self.?tcpSocket.?port].all(p, !p.hasValue() || type(p.value()) == string || (p.value() >= 1 && p.value() <= 65535)) && (!has(self.grpc) || (self.grpc.port >= 1 && self.grpc.port <= 65535))",message="a probe's port is a number from 1 to 65535 or, but for grpc, the name of a port in spec.ports"
	// +kubebuilder:validation:XValidation:rule="!has(self.httpGet) || !has(self.httpGet.scheme) || self.httpGet.scheme in ['', 'HTTP', 'HTTPS']",message="httpGet.scheme is HTTP or HTTPS"
	// +kubebuilder:validation:XValidation:rule="[self.?initialDelaySeconds, self.?timeoutSeconds, self.?periodSeconds, self.?successThreshold, self.?failureThreshold].all(n, n.orValue(0) >= 0)",message="times and thresholds of a probe are not negative: remove the field for its default"
	// +kubebuilder:validation:XValidation:rule="self.?successThreshold.orValue(1) <= 1",message="successThreshold is 1 for a liveness or startup probe: remove it"
	// +kubebuilder:validation:XValidation:rule="self.?terminationGracePeriodSeconds.orValue(1) >= 1",message="terminationGracePeriodSeconds is at least 1: remove it for the pod's own"
	Liveness *corev1.Probe `json:"liveness,omitempty"`
	// Readiness: a pod that fails it gets no traffic and is not ready. Default: none.
	// +optional
	// +kubebuilder:validation:XValidation:rule="[has(self.exec), has(self.grpc), has(self.httpGet), has(self.tcpSocket)].filter(x, x).size() == 1",message="a probe has exactly one of exec, grpc, httpGet and tcpSocket"
	// +kubebuilder:validation:XValidation:rule="!has(self.exec) || (has(self.exec.command) && size(self.exec.command) > 0)",message="exec.command is empty: name the command to run"
	// +kubebuilder:validation:XValidation:rule="[self.?httpGet.?port, self.?tcpSocket.?port].all(p, !p.hasValue() || type(p.value()) == string || (p.value() >= 1 && p.value() <= 65535)) && (!has(self.grpc) || (self.grpc.port >= 1 && self.grpc.port <= 65535))",message="a probe's port is a number from 1 to 65535 or, but for grpc, the name of a port in spec.ports"
	// +kubebuilder:validation:XValidation:rule="!has(self.httpGet) || !has(self.httpGet.scheme) || self.httpGet.scheme in ['', 'HTTP', 'HTTPS']",message="httpGet.scheme is HTTP or HTTPS"
	// +kubebuilder:validation:XValidation:rule="[self.?initialDelaySeconds, self.?timeoutSeconds, self.?periodSeconds, self.?successThreshold, self.?failureThreshold].all(n, n.orValue(0) >= 0)",message="times and thresholds of a probe are not negative: remove the field for its default"
	// +kubebuilder:validation:XValidation:rule="!has(self.terminationGracePeriodSeconds)",message="a readiness probe stops no container: remove terminationGracePeriodSeconds"
	Readiness *corev1.Probe `json:"readiness,omitempty"`
	// Startup: until it succeeds the other probes wait. Default: none.
	// +optional
	// +kubebuilder:validation:XValidation:rule="[has(self.exec), has(self.grpc), has(self.httpGet), has(self.tcpSocket)].filter(x, x).size() == 1",message="a probe has exactly one of exec, grpc, httpGet and tcpSocket"
	// +kubebuilder:validation:XValidation:rule="!has(self.exec) || (has(self.exec.command) && size(self.exec.command) > 0)",message="exec.command is empty: name the command to run"
	// +kubebuilder:validation:XValidation:rule="[self.?httpGet.?port, self.?tcpSocket.?port].all(p, !p.hasValue() || type(p.value()) == string || (p.value() >= 1 && p.value() <= 65535)) && (!has(self.grpc) || (self.grpc.port >= 1 && self.grpc.port <= 65535))",message="a probe's port is a number from 1 to 65535 or, but for grpc, the name of a port in spec.ports"
	// +kubebuilder:validation:XValidation:rule="!has(self.httpGet) || !has(self.httpGet.scheme) || self.httpGet.scheme in ['', 'HTTP', 'HTTPS']",message="httpGet.scheme is HTTP or HTTPS"
	// +kubebuilder:validation:XValidation:rule="[self.?initialDelaySeconds, self.?timeoutSeconds, self.?periodSeconds, self.?successThreshold, self.?failureThreshold].all(n, n.orValue(0) >= 0)",message="times and thresholds of a probe are not negative: remove the field for its default"
	// +kubebuilder:validation:XValidation:rule="self.?successThreshold.orValue(1) <= 1",message="successThreshold is 1 for a liveness or startup probe: remove it"
	// +kubebuilder:validation:XValidation:rule="self.?terminationGracePeriodSeconds.orValue(1) >= 1",message="terminationGracePeriodSeconds is at least 1: remove it for the pod's own"
	Startup *corev1.Probe `json:"startup,omitempty"`
}

// Service makes the pods of a member reachable under the app's name.
//
// +kubebuilder:validation:XValidation:rule="size(self.ports) < 2 || self.ports.all(p, has(p.name))",message="with more than one port every service port needs a name: add ports[].name"
type Service struct {
	// Type is ClusterIP, NodePort or LoadBalancer.
	// Default: ClusterIP. Example: LoadBalancer
	// +optional
	// +default="ClusterIP"
	// +kubebuilder:validation:Enum=ClusterIP;NodePort;LoadBalancer
	Type corev1.ServiceType `json:"type,omitempty"`
	// Ports are the ports of the Service. Example: [{port: 80, targetPort: http}]
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:XValidation:rule="self.all(a, self.exists_one(b, b.port == a.port && b.protocol == a.protocol))",message="a service port is listed twice for the same protocol: remove one"
	// +kubebuilder:validation:XValidation:rule="self.all(a, !has(a.name) || self.exists_one(b, has(b.name) && b.name == a.name))",message="two service ports have the same name: give each a name of its own"
	Ports []ServicePort `json:"ports"`
}

// ServicePort is one port of a Service.
type ServicePort struct {
	// Name of the port; needed when there are several.
	// Default: none. Example: http
	// +optional
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="a service port name has lower-case letters, digits and '-', and starts and ends with a letter or digit: for example http"
	Name string `json:"name,omitempty"`
	// Port is the number clients connect to. Example: 80
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port int32 `json:"port"`
	// TargetPort is the container's port, by number or by its name in
	// spec.ports.
	// Default: the number in port. Example: http
	// +optional
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:XValidation:rule="type(self) == string || (self >= 1 && self <= 65535)",message="targetPort is a number from 1 to 65535 or the name of a port in spec.ports"
	TargetPort *intstr.IntOrString `json:"targetPort,omitempty"`
	// Protocol is TCP, UDP or SCTP.
	// Default: TCP. Example: UDP
	// +optional
	// +default="TCP"
	// +kubebuilder:validation:Enum=TCP;UDP;SCTP
	Protocol corev1.Protocol `json:"protocol,omitempty"`
}

// MyAppList is a list of MyApps.
//
// +kubebuilder:object:root=true
type MyAppList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []MyApp `json:"items"`
}
