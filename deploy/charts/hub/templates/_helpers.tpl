{{/* What all objects of the hub have in common. */}}
{{- define "hub.labels" -}}
{{ include "hub.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: myapp-hub
{{- end }}

{{/* What tells the hub's pods from others; never changed. */}}
{{- define "hub.selector" -}}
app.kubernetes.io/name: myapp-hub
app.kubernetes.io/component: hub
{{- end }}

{{- define "hub.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{/* Nine tenths of the memory limit, in Go's words: before that the hub collects garbage harder. */}}
{{- define "hub.memoryLimit" -}}
{{- $limit := dig "limits" "memory" "" (.Values.resources | default dict) | toString }}
{{- if hasSuffix "Gi" $limit }}{{ printf "%dMiB" (div (mul (trimSuffix "Gi" $limit | atoi) 1024 9) 10) }}
{{- else if hasSuffix "Mi" $limit }}{{ printf "%dMiB" (div (mul (trimSuffix "Mi" $limit | atoi) 9) 10) }}
{{- end }}
{{- end }}

{{/*
The objects in a file of files/, which are the same for whoever installs the hub without
Helm: in the release's namespace, with the chart's labels. The namespace itself is left to
Helm. Takes a dict of: root, file, annotations.
*/}}
{{- define "hub.objects" -}}
{{- $root := .root }}
{{- $annotations := .annotations | default dict }}
{{- if not ($root.Files.Get .file) }}{{ fail "the chart is not whole: its files/ are symbolic links, which the way it was fetched has left out. Use a packaged chart (make charts), or a git clone" }}{{ end }}
{{- $text := $root.Files.Get .file | replace "namespace: myapp-hub-system" (printf "namespace: %s" $root.Release.Namespace) }}
{{- range $document := splitList "\n---\n" (printf "\n%s" $text) }}
{{- $object := fromYaml $document }}
{{- with $object.Error }}{{ fail (printf "%s: %s" $.file .) }}{{ end }}
{{- if eq ($object.kind | default "") "ValidatingAdmissionPolicy" }}
{{- /* Wherever the hub is, apps are kept out of its namespace. */}}
{{- range $object.spec.validations }}
{{- $_ := set . "expression" (.expression | replace "'myapp-hub-system'" (list "myapp-hub-system" $root.Release.Namespace | uniq | join "', '" | squote)) }}
{{- end }}
{{- end }}
{{- if and $object.kind (ne $object.kind "Namespace") }}
{{- $metadata := $object.metadata }}
{{- $_ := set $metadata "labels" (merge (dict) ($metadata.labels | default dict) (fromYaml (include "hub.labels" $root))) }}
{{- if $annotations }}
{{- $_ := set $metadata "annotations" (merge (dict) ($metadata.annotations | default dict) $annotations) }}
{{- end }}
{{- if and (eq $object.kind "ServiceAccount") $root.Values.serviceAccountAnnotations }}
{{- $_ := set $metadata "annotations" (merge (dict) ($metadata.annotations | default dict) $root.Values.serviceAccountAnnotations) }}
{{- end }}
---
{{ toYaml $object }}
{{- end }}
{{- end }}
{{- end }}
