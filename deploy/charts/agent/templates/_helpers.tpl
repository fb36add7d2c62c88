{{/* The name of all that belongs to the agent. */}}
{{- define "agent.name" -}}
myapp-agent{{ with .Values.memberNamespace }}-{{ . }}{{ end }}
{{- end }}

{{/* What tells the agent's pod from others; as kubectl myapp join has it. */}}
{{- define "agent.selector" -}}
app.kubernetes.io/name: myapp-agent
app.kubernetes.io/instance: {{ include "agent.name" . }}
{{- end }}

{{- define "agent.labels" -}}
{{ include "agent.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: myapp-hub
{{- end }}

{{- define "agent.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{/* Mistakes that the schema cannot see. */}}
{{- define "agent.check" -}}
{{- if ne .Release.Namespace "myapp-hub-system" }}
{{- fail "the agent belongs into namespace myapp-hub-system: add --namespace myapp-hub-system --create-namespace" }}
{{- end }}
{{- if has .Values.memberNamespace (list "kube-system" "kube-public" "kube-node-lease" "myapp-hub-system") }}
{{- fail (printf "memberNamespace %s holds what the cluster or the agent has for itself: choose a namespace of apps" .Values.memberNamespace) }}
{{- end }}
{{- if and .Values.tenantServiceAccount .Values.rights.create }}
{{- fail "an agent that acts as its tenants has other rights: set rights.create to false, and run kubectl myapp join --token TOKEN --skip-agent --tenant-service-account NAME first" }}
{{- end }}
{{- if and .Values.tenantServiceAccount .Values.memberNamespace }}
{{- fail "tenantServiceAccount is for whole clusters, and with memberNamespace the member is one namespace: set one of them" }}
{{- end }}
{{- end }}
