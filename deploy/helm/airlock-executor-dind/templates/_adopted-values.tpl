{{/* Takes over the values of Sourcegraph's chart that mean the same. The documentation has the list. */}}
{{- define "dind.adopt" -}}
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
{{- range $name, $each := .env }}{{ $_ := set $env $name (ternary (get (ternary $each (dict) (kindIs "map" $each)) "value") $each (kindIs "map" $each)) }}{{ end }}
{{- with .storage }}
{{- $scratch := dict }}
{{- with .size }}{{ $_ := set $scratch "size" . }}{{ end }}
{{- with .class }}{{ $_ := set $scratch "storageClass" . }}{{ end }}
{{- $_ := set $values "scratch" (merge $scratch $values.scratch) }}
{{- end }}
{{- $_ := set $values "env" (merge (dict) $env $values.env) }}
{{- end }}
{{- with $values.dind }}
{{- if (.gVisor | default dict).enabled }}{{ $_ := set $values.daemon "kind" "gvisor" }}{{ end }}
{{- with .daemonConfig }}{{ $_ := set $values.daemon "config" . }}{{ end }}
{{- end }}
{{- with $values.privateDockerRegistry }}
{{- if .enabled }}{{ $_ := set $values.registryCache "enabled" true }}{{ end }}
{{- with .storageSize }}{{ $_ := set $values.registryCache "size" . }}{{ end }}
{{- end }}
{{- end }}
