{{/* Takes over the values of Sourcegraph's chart that mean the same. The documentation has the list. */}}
{{- define "executor.adopt" -}}
{{- $values := .Values }}
{{- with $values.executor }}
{{- if .frontendPassword }}
{{- fail "executor.frontendPassword would put the executors' token into the release: create a Secret with it, and name that in existingSecret" }}
{{- end }}
{{- with .frontendUrl }}{{ $_ := set $values "frontendUrl" . }}{{ end }}
{{- with .frontendExistingSecret }}
{{- $_ := set $values "existingSecret" . }}
{{- $_ := set $values "existingSecretKey" "EXECUTOR_FRONTEND_PASSWORD" }}
{{- end }}
{{- $names := list }}
{{- with .queueName }}{{ $names = list . }}{{ end }}
{{- with .queueNames }}{{ $names = ternary (splitList "," (toString .)) . (kindIs "string" .) }}{{ end }}
{{- if $names }}
{{- $_ := set $values "queues" (list (dict "name" "default" "queueNames" $names "replicas" (int (.replicaCount | default 1)))) }}
{{- end }}
{{- range $name := list "maximumNumJobs" "maximumRuntimePerJob" "resources" "affinity" "nodeSelector" "tolerations" }}
{{- with index $values.executor $name }}{{ $_ := set $values $name . }}{{ end }}
{{- end }}
{{- $env := dict }}
{{- with .log }}
{{- with .level }}{{ $_ := set $env "SRC_LOG_LEVEL" . }}{{ end }}
{{- with .format }}{{ $_ := set $env "SRC_LOG_FORMAT" . }}{{ end }}
{{- end }}
{{- with .debug }}
{{- if .keepWorkspaces }}{{ $_ := set $env "EXECUTOR_KEEP_WORKSPACES" true }}{{ end }}
{{- end }}
{{- range .extraEnv }}{{ $_ := set $env .name .value }}{{ end }}
{{- with .namespace }}{{ $_ := set $values "jobs" (merge (dict "namespace" .) $values.jobs) }}{{ end }}
{{- with .kubernetesJob }}
{{- with .deadline }}{{ $_ := set $env "KUBERNETES_JOB_DEADLINE" (int .) }}{{ end }}
{{- if not (kindIs "invalid" .runAsUser) }}{{ $_ := set $env "KUBERNETES_RUN_AS_USER" (int .runAsUser) }}{{ end }}
{{- if not (kindIs "invalid" .runAsGroup) }}{{ $_ := set $env "KUBERNETES_RUN_AS_GROUP" (int .runAsGroup) }}{{ end }}
{{- if not (kindIs "invalid" .fsGroup) }}{{ $_ := set $env "KUBERNETES_FS_GROUP" (int .fsGroup) }}{{ end }}
{{- with .resources }}
{{- with .limits }}
{{- with .cpu }}{{ $_ := set $values "jobs" (merge (dict "maximumCpus" .) $values.jobs) }}{{ end }}
{{- with .memory }}{{ $_ := set $values "jobs" (merge (dict "maximumMemory" .) $values.jobs) }}{{ end }}
{{- end }}
{{- with .requests }}
{{- with .cpu }}{{ $_ := set $env "EXECUTOR_KUBERNETES_RESOURCE_REQUEST_CPU" . }}{{ end }}
{{- with .memory }}{{ $_ := set $env "EXECUTOR_KUBERNETES_RESOURCE_REQUEST_MEMORY" . }}{{ end }}
{{- end }}
{{- end }}
{{- end }}
{{- $_ := set $values "env" (merge (dict) $env $values.env) }}
{{- end }}
{{- end }}
