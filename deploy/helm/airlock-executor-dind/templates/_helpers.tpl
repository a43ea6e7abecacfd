{{- define "dind.name" -}}
{{- if contains "airlock-executor-dind" .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-airlock-executor-dind" .Release.Name | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "dind.selector" -}}
app.kubernetes.io/name: airlock-executor-dind
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "dind.labels" -}}
{{ include "dind.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | quote }}
{{- end }}

{{- define "dind.reference" -}}
{{ .image.repository }}{{ if .image.digest }}@{{ .image.digest }}{{ else }}:{{ .image.tag | default .version }}{{ end }}
{{- end }}

{{- define "dind.cacheAddress" -}}
{{ .Values.registryCache.clusterIP | default (printf "%s-cache.%s" (include "dind.name" .) .Release.Namespace) }}:5000
{{- end }}

{{- define "dind.check" -}}
{{- include "dind.adopt" . }}
{{- if not .Values.frontendUrl }}
{{- fail "frontendUrl is required: the instance's address, such as https://airlock.example.com" }}
{{- end }}
{{- if not .Values.existingSecret }}
{{- fail "existingSecret is required: the name of a Secret with the executors' token. docs/helm-airlock-executor-dind.md has the command that creates it" }}
{{- end }}
{{- if and (hasPrefix "keda" .Values.autoscaling.kind) (not .Values.autoscaling.prometheusUrl) }}
{{- fail (printf "autoscaling.kind %s needs autoscaling.prometheusUrl" .Values.autoscaling.kind) }}
{{- end }}
{{- end }}

{{/* The content of daemon.json. Settings of the administrator come last. */}}
{{- define "dind.daemonConfig" -}}
{{- $mirrors := list }}
{{- $insecure := .Values.daemon.insecureRegistries }}
{{- if .Values.registryCache.enabled }}
{{- $mirrors = list (printf "http://%s" (include "dind.cacheAddress" .)) }}
{{- $insecure = prepend $insecure (include "dind.cacheAddress" .) }}
{{- end }}
{{- $config := dict "userland-proxy" false "live-restore" false "registry-mirrors" (concat $mirrors .Values.daemon.registryMirrors) "insecure-registries" $insecure }}
{{- if and .Values.daemon.mapUsers (eq .Values.daemon.kind "plain") }}
{{- $_ := set $config "userns-remap" "airlock" }}
{{- end }}
{{- toPrettyJson (mergeOverwrite $config .Values.daemon.config) }}
{{- end }}
