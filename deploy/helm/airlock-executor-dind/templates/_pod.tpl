{{/* The pod of an executor. Takes a dict of `root`, `queue`, and `once`: whether the executor ends after one job. */}}
{{- define "dind.pod" -}}
{{- $ := .root }}
{{- $queue := .queue }}
{{- $values := $.Values }}
{{- $kind := $values.daemon.kind }}
metadata:
  labels:
    {{- include "dind.labels" $ | nindent 4 }}
    airlock.queue: {{ $queue.name }}
  annotations:
    # A changed daemon.json needs another daemon.
    airlock/daemon-config: {{ include "dind.daemonConfig" $ | sha256sum | trunc 16 }}
    {{- with $values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "dind.name" $ }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  {{- if .once }}
  restartPolicy: Never
  {{- end }}
  {{- if eq $kind "gvisor" }}
  runtimeClassName: {{ $values.daemon.runtimeClass }}
  {{- end }}
  # SIGTERM drains. Jobs that still run after the drain timeout are handed back, which takes seconds.
  terminationGracePeriodSeconds: {{ add $values.drainTimeoutSeconds 60 }}
  {{- with $values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with $values.imagePullSecrets }}
  imagePullSecrets: {{- range . }}
    - name: {{ . }}
    {{- end }}
  {{- end }}
  {{- if eq $kind "rootless" }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    fsGroup: 65532
  {{- end }}
  initContainers:
    # A sidecar: it starts before the executor, and ends after the executor has drained.
    - name: docker
      restartPolicy: Always
      image: {{ include "dind.reference" (dict "image" $values.image "version" $.Chart.AppVersion) }}
      imagePullPolicy: {{ $values.image.pullPolicy }}
      command:
        - /usr/bin/start-daemon
        - {{ $kind }}
        - --config-file=/etc/airlock-docker/daemon.json
        - --host=unix:///docker-socket/docker.sock
        - --data-root=/var/lib/docker/data
        {{- if ne $kind "rootless" }}
        - --group=65532
        {{- end }}
        - --shutdown-timeout=5
      startupProbe: {{- include "dind.ping" . | nindent 8 }}
        periodSeconds: 1
        failureThreshold: 120
      livenessProbe: {{- include "dind.ping" . | nindent 8 }}
        periodSeconds: 10
        timeoutSeconds: 10
        failureThreshold: 6
      resources: {{- toYaml $values.daemon.resources | nindent 8 }}
      securityContext:
        {{- if eq $kind "gvisor" }}
        allowPrivilegeEscalation: true
        # gVisor's kernel gets these rights, and the node's does not.
        capabilities:
          drop: [ALL]
          add: [AUDIT_WRITE, CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, MKNOD, NET_ADMIN, NET_BIND_SERVICE, NET_RAW, SETFCAP, SETGID, SETPCAP, SETUID, SYS_ADMIN, SYS_CHROOT, SYS_PTRACE]
        {{- else }}
        privileged: true
        {{- end }}
      volumeMounts:
        - name: socket
          mountPath: /docker-socket
        - name: images
          mountPath: /var/lib/docker
        # Steps get their workspaces from here, so the path is the same as in the executor.
        - name: data
          mountPath: /var/lib/airlock-executor
        - name: daemon-config
          mountPath: /etc/airlock-docker
          readOnly: true
        - name: daemon-tmp
          mountPath: /tmp
        {{- if $values.customCertificates.configMap }}
        - name: certificates
          mountPath: /etc/ssl/certs/airlock
          readOnly: true
        {{- end }}
  containers:
    - name: executor
      image: {{ include "dind.reference" (dict "image" $values.image "version" $.Chart.AppVersion) }}
      imagePullPolicy: {{ $values.image.pullPolicy }}
      ports:
        - name: metrics
          containerPort: 8080
      env:
        - name: EXECUTOR_FRONTEND_URL
          value: {{ $values.frontendUrl | quote }}
        - name: EXECUTOR_FRONTEND_PASSWORD
          valueFrom: { secretKeyRef: { name: {{ $values.existingSecret }}, key: {{ $values.existingSecretKey }} } }
        - name: EXECUTOR_QUEUE_NAMES
          value: {{ join "," $queue.queueNames | quote }}
        - name: EXECUTOR_RUNTIME
          value: docker
        - name: DOCKER_HOST
          value: unix:///docker-socket/docker.sock
        # Mounts of this container would stay on the node if it is killed.
        - name: EXECUTOR_WORKSPACE_MOUNTS
          value: never
        - name: EXECUTOR_HEALTH_SERVER_ADDR
          value: ":8080"
        - name: EXECUTOR_MAXIMUM_NUM_JOBS
          value: {{ ternary 1 ($queue.maximumNumJobs | default $values.maximumNumJobs) .once | quote }}
        {{- if .once }}
        - name: EXECUTOR_NUM_TOTAL_JOBS
          value: "1"
        # Ends an executor whose job another one took.
        - name: EXECUTOR_MAX_ACTIVE_TIME
          value: 10m
        {{- end }}
        - name: EXECUTOR_MAXIMUM_RUNTIME_PER_JOB
          value: {{ $values.maximumRuntimePerJob | quote }}
        - name: EXECUTOR_DRAIN_TIMEOUT
          value: {{ printf "%ds" (int $values.drainTimeoutSeconds) | quote }}
        - name: EXECUTOR_JOB_NUM_CPUS
          value: {{ $values.job.cpus | quote }}
        - name: EXECUTOR_JOB_MEMORY
          value: {{ $values.job.memory | quote }}
        {{- if eq $kind "rootless" }}
        - name: EXECUTOR_UNENFORCED_LIMITS
          value: none
        {{- end }}
        {{- if $values.registryCache.enabled }}
        - name: EXECUTOR_DOCKER_REGISTRY_MIRROR_URL
          value: {{ printf "http://%s" (include "dind.cacheAddress" $) | quote }}
        {{- end }}
        {{- if $values.customCertificates.configMap }}
        - name: NODE_EXTRA_CA_CERTS
          value: /etc/airlock/certificates/ca.crt
        {{- end }}
        {{- range $key, $value := merge (dict) ($queue.env | default dict) $values.env }}
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
      # Not /healthz: an executor that waits for its instance or its engine keeps its jobs.
      livenessProbe:
        tcpSocket: { port: metrics }
        periodSeconds: 10
        failureThreshold: 6
      resources: {{- toYaml $values.resources | nindent 8 }}
      securityContext:
        {{- if eq $kind "rootless" }}
        allowPrivilegeEscalation: false
        capabilities:
          drop: [ALL]
        {{- else if and $values.job.networkPolicies (eq $kind "plain") }}
        # To set the rules of the jobs' networks. The engine's socket alone gives as many rights.
        privileged: true
        {{- else }}
        allowPrivilegeEscalation: false
        # To give workspaces to the users of images, and to take them back.
        capabilities:
          drop: [ALL]
          add: [CHOWN, DAC_OVERRIDE, FOWNER]
        {{- end }}
      volumeMounts:
        - name: socket
          mountPath: /docker-socket
        - name: data
          mountPath: /var/lib/airlock-executor
        - name: tmp
          mountPath: /tmp
        {{- if $values.customCertificates.configMap }}
        - name: certificates
          mountPath: /etc/airlock/certificates
          readOnly: true
        {{- end }}
  volumes:
    - name: socket
      emptyDir:
        medium: Memory
        sizeLimit: 1Mi
    - name: tmp
      emptyDir: {}
    - name: daemon-tmp
      emptyDir: {}
    - name: daemon-config
      configMap:
        name: {{ include "dind.name" $ }}
    - name: images
      {{- include "dind.volume" $values.daemon.storage | nindent 6 }}
    - name: data
      {{- include "dind.volume" $values.scratch | nindent 6 }}
    {{- with $values.customCertificates }}
    {{- if .configMap }}
    - name: certificates
      configMap:
        name: {{ .configMap }}
        items:
          - key: {{ .key }}
            path: ca.crt
    {{- end }}
    {{- end }}
  {{- with $queue.nodeSelector | default $values.nodeSelector }}
  nodeSelector: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $queue.tolerations | default $values.tolerations }}
  tolerations: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.affinity }}
  affinity: {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}

{{- define "dind.ping" -}}
exec:
  command: [/usr/bin/ping-daemon, /docker-socket/docker.sock]
{{- end }}

{{- define "dind.volume" -}}
{{- if .storageClass -}}
ephemeral:
  volumeClaimTemplate:
    spec:
      accessModes: [ReadWriteOnce]
      storageClassName: {{ .storageClass }}
      resources:
        requests:
          storage: {{ .size }}
{{- else -}}
emptyDir:
  sizeLimit: {{ .size }}
{{- end }}
{{- end }}
