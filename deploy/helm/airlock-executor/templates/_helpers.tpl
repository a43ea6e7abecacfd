{{- define "executor.name" -}}
{{- if contains "airlock-executor" .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-airlock-executor" .Release.Name | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "executor.jobsNamespace" -}}
{{- .Values.jobs.namespace | default (printf "%s-jobs" (include "executor.name" .)) }}
{{- end }}

{{- define "executor.selector" -}}
app.kubernetes.io/name: airlock-executor
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "executor.labels" -}}
{{ include "executor.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | quote }}
{{- end }}

{{- define "executor.reference" -}}
{{ .image.repository }}{{ if .image.digest }}@{{ .image.digest }}{{ else }}:{{ .image.tag | default .version }}{{ end }}
{{- end }}

{{- define "executor.check" -}}
{{- include "executor.adopt" . }}
{{- if not .Values.frontendUrl }}
{{- fail "frontendUrl is required: the instance's address, such as https://airlock.example.com" }}
{{- end }}
{{- if not .Values.existingSecret }}
{{- fail "existingSecret is required: the name of a Secret with the executors' token. docs/helm-airlock-executor.md has the command that creates it" }}
{{- end }}
{{- if and (eq (include "executor.jobsNamespace" .) .Release.Namespace) .Values.jobs.createNamespace }}
{{- fail "jobs.namespace is the release's own namespace: set jobs.createNamespace to false, or better choose another one, because jobs' pods and the executor's Secret belong apart" }}
{{- end }}
{{- if and (hasPrefix "keda" .Values.autoscaling.kind) (not .Values.autoscaling.prometheusUrl) }}
{{- fail (printf "autoscaling.kind %s needs autoscaling.prometheusUrl" .Values.autoscaling.kind) }}
{{- end }}
{{- end }}
