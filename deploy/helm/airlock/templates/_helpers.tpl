{{- define "airlock.name" -}}
{{- if contains "airlock" .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-airlock" .Release.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "airlock.selector" -}}
app.kubernetes.io/name: airlock
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "airlock.labels" -}}
{{ include "airlock.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | quote }}
{{- end }}

{{- define "airlock.image" -}}
{{- with .Values.image }}{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}{{ end }}
{{- end }}

{{- define "airlock.check" -}}
{{- if not .Values.existingSecret }}
{{- fail "existingSecret is required: the name of a Secret with the keys token, executor-token and secret-key. docs/helm-airlock.md has the command that creates it" }}
{{- end }}
{{- if and (gt (int .Values.replicas) 1) (not .Values.database.existingSecret) }}
{{- fail "replicas above 1 need database.existingSecret: the embedded database belongs to one pod" }}
{{- end }}
{{- if and (gt (int .Values.replicas) 1) (not .Values.objectStorage.bucket) }}
{{- fail "replicas above 1 need objectStorage.bucket: artifacts in a pod's volume are out of reach for the others" }}
{{- end }}
{{- if and .Values.objectStorage.bucket (not .Values.objectStorage.existingSecret) }}
{{- fail "objectStorage.bucket needs objectStorage.existingSecret: a Secret with the keys access-key-id and secret-access-key" }}
{{- end }}
{{- if and .Values.ingress.enabled (not .Values.ingress.host) }}
{{- fail "ingress.enabled needs ingress.host" }}
{{- end }}
{{- end }}
