{{/* The pod of an executor. Takes a dict of `root`, `queue`, and `once`: whether the executor ends after one job. */}}
{{- define "executor.pod" -}}
{{- $ := .root }}
{{- $queue := .queue }}
metadata:
  labels:
    {{- include "executor.labels" $ | nindent 4 }}
    airlock.queue: {{ $queue.name }}
  {{- with $.Values.podAnnotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  serviceAccountName: {{ include "executor.name" $ }}
  {{- if .once }}
  restartPolicy: Never
  {{- end }}
  enableServiceLinks: false
  # SIGTERM drains. Jobs that still run after the drain timeout are handed back, which takes seconds.
  terminationGracePeriodSeconds: {{ add $.Values.drainTimeoutSeconds 60 }}
  {{- with $.Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with $.Values.imagePullSecrets }}
  imagePullSecrets: {{- range . }}
    - name: {{ . }}
    {{- end }}
  {{- end }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    fsGroup: 65532
    seccompProfile:
      type: RuntimeDefault
  containers:
    - name: executor
      image: {{ include "executor.reference" (dict "image" $.Values.image "version" $.Chart.AppVersion) }}
      imagePullPolicy: {{ $.Values.image.pullPolicy }}
      ports:
        - name: metrics
          containerPort: 8080
      env:
        - name: EXECUTOR_FRONTEND_URL
          value: {{ $.Values.frontendUrl | quote }}
        - name: EXECUTOR_FRONTEND_PASSWORD
          valueFrom: { secretKeyRef: { name: {{ $.Values.existingSecret }}, key: {{ $.Values.existingSecretKey }} } }
        - name: EXECUTOR_QUEUE_NAMES
          value: {{ join "," $queue.queueNames | quote }}
        - name: EXECUTOR_RUNTIME
          value: kubernetes
        - name: EXECUTOR_HEALTH_SERVER_ADDR
          value: ":8080"
        - name: EXECUTOR_MAXIMUM_NUM_JOBS
          value: {{ ternary 1 ($queue.maximumNumJobs | default $.Values.maximumNumJobs) .once | quote }}
        {{- if .once }}
        - name: EXECUTOR_NUM_TOTAL_JOBS
          value: "1"
        # Ends an executor whose job another one took.
        - name: EXECUTOR_MAX_ACTIVE_TIME
          value: 10m
        {{- end }}
        - name: EXECUTOR_MAXIMUM_RUNTIME_PER_JOB
          value: {{ $.Values.maximumRuntimePerJob | quote }}
        - name: EXECUTOR_DRAIN_TIMEOUT
          value: {{ printf "%ds" (int $.Values.drainTimeoutSeconds) | quote }}
        - name: EXECUTOR_KUBERNETES_AGENT_IMAGE
          value: {{ include "executor.reference" (dict "image" $.Values.agentImage "version" $.Chart.AppVersion) }}
        - name: EXECUTOR_KUBERNETES_NAMESPACE
          value: {{ include "executor.jobsNamespace" $ }}
        {{- with $.Values.jobs }}
        - name: EXECUTOR_KUBERNETES_POD_SECURITY
          value: {{ .podSecurity }}
        - name: EXECUTOR_UNENFORCED_LIMITS
          value: {{ .unenforcedLimits }}
        - name: KUBERNETES_IMAGE_PULL_POLICY
          value: {{ .imagePullPolicy }}
        - name: EXECUTOR_KUBERNETES_RESOURCE_LIMIT_CPU
          value: {{ .maximumCpus | quote }}
        - name: EXECUTOR_KUBERNETES_RESOURCE_LIMIT_MEMORY
          value: {{ .maximumMemory | quote }}
        {{- with .runtimeClass }}
        - name: EXECUTOR_KUBERNETES_RUNTIME_CLASS
          value: {{ . }}
        {{- end }}
        {{- with $queue.jobNodeSelector | default .nodeSelector }}
        - name: EXECUTOR_KUBERNETES_NODE_SELECTOR
          {{- $terms := list }}
          {{- range $key, $value := . }}{{ $terms = append $terms (printf "%s=%s" $key $value) }}{{ end }}
          value: {{ join "," $terms | quote }}
        {{- end }}
        {{- with $queue.jobTolerations | default .tolerations }}
        - name: EXECUTOR_KUBERNETES_NODE_TOLERATIONS
          value: {{ toJson . | quote }}
        {{- end }}
        {{- with .imagePullSecrets }}
        - name: KUBERNETES_IMAGE_PULL_SECRETS
          value: {{ join "," . | quote }}
        {{- end }}
        {{- end }}
        {{- if $.Values.customCertificates.configMap }}
        - name: NODE_EXTRA_CA_CERTS
          value: /etc/airlock/certificates/ca.crt
        {{- end }}
        {{- range $key, $value := merge (dict) ($queue.env | default dict) $.Values.env }}
        - name: {{ $key }}
          value: {{ $value | quote }}
        {{- end }}
      startupProbe:
        tcpSocket: { port: metrics }
        periodSeconds: 2
        failureThreshold: 60
      readinessProbe:
        httpGet: { path: /healthz, port: metrics }
        periodSeconds: 5
      # Not /healthz: an executor that waits for its instance keeps its jobs running.
      livenessProbe:
        tcpSocket: { port: metrics }
        periodSeconds: 10
        failureThreshold: 6
      resources: {{- toYaml $.Values.resources | nindent 8 }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities:
          drop: [ALL]
      volumeMounts:
        - name: data
          mountPath: /var/lib/airlock-executor
        - name: tmp
          mountPath: /tmp
        {{- if $.Values.customCertificates.configMap }}
        - name: certificates
          mountPath: /etc/airlock/certificates
          readOnly: true
        {{- end }}
  volumes:
    - name: tmp
      emptyDir: {}
    {{- with $.Values.scratch }}
    - name: data
      {{- if .storageClass }}
      ephemeral:
        volumeClaimTemplate:
          spec:
            accessModes: [ReadWriteOnce]
            storageClassName: {{ .storageClass }}
            resources:
              requests:
                storage: {{ .size }}
      {{- else }}
      emptyDir:
        sizeLimit: {{ .size }}
      {{- end }}
    {{- end }}
    {{- with $.Values.customCertificates }}
    {{- if .configMap }}
    - name: certificates
      configMap:
        name: {{ .configMap }}
        items:
          - key: {{ .key }}
            path: ca.crt
    {{- end }}
    {{- end }}
  {{- with $.Values.nodeSelector }}
  nodeSelector: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $.Values.tolerations }}
  tolerations: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $.Values.affinity }}
  affinity: {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
