{{/* The release's name, unless it says nothing of what runs: `helm install elysia-operator` gives no double name. */}}
{{- define "elysia-operator.name" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" (.Release.Name | trunc 34 | trimSuffix "-") .Chart.Name -}}
{{- end -}}
{{- end -}}

{{/* Cluster-wide objects of two releases in two namespaces must not meet. */}}
{{- define "elysia-operator.clusterName" -}}
{{- printf "%s:%s" .Release.Namespace (include "elysia-operator.name" .) -}}
{{- end -}}

{{- define "elysia-operator.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "elysia-operator.labels" -}}
{{ include "elysia-operator.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "elysia-operator.serviceAccount" -}}
{{- if .Values.serviceAccount.name -}}
{{- .Values.serviceAccount.name -}}
{{- else if .Values.serviceAccount.create -}}
{{- include "elysia-operator.name" . -}}
{{- else -}}
default
{{- end -}}
{{- end -}}

{{- define "elysia-operator.image" -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}
