{{/* The pod of a worker, in a Deployment or a Job. Takes (list context pool). */}}

{{- define "scriptorium.worker" -}}
{{- $ := index . 0 }}{{ $pool := index . 1 -}}
metadata:
  labels:
    {{- include "scriptorium.podLabels" $ | nindent 4 }}
    app.kubernetes.io/component: worker
    scriptorium/pool: {{ $pool.name }}
    {{- with $pool.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    # Starts new pods when the configuration has changed.
    checksum/config: {{ include "scriptorium.config" (list $ false) | sha256sum }}
    kubectl.kubernetes.io/default-container: worker
    {{- with $pool.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  {{- if eq $pool.scaling.type "scaledJob" }}
  restartPolicy: Never
  {{- end }}
  {{- include "scriptorium.podSpec" (list $ (include "scriptorium.serviceAccountName" (list $ $.Values.serviceAccount ""))) | nindent 2 }}
  {{- with include "scriptorium.scheduling" $pool | trim }}
  {{- . | nindent 2 }}
  {{- end }}
  {{- with $pool.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- range $constraint := . }}
    - {{ toYaml $constraint | nindent 6 | trim }}
      {{- if not (hasKey $constraint "labelSelector") }}
      labelSelector:
        matchLabels:
          {{- include "scriptorium.selectorLabels" $ | nindent 10 }}
          scriptorium/pool: {{ $pool.name }}
      {{- end }}
    {{- end }}
  {{- end }}
  {{- with $pool.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with $pool.runtimeClassName }}
  runtimeClassName: {{ . }}
  {{- end }}
  # More than worker.drain_seconds: the worker ends by itself within 2 s after that.
  terminationGracePeriodSeconds: {{ int64 $pool.terminationGracePeriodSeconds }}
  {{- if has $.Values.models.cache (list "emptyDir" "pvc") }}
  initContainers:
    # Pulls the models that the configuration names; those that are there already are only checked. Several pods may
    # pull into one volume.
    - name: models
      {{- include "scriptorium.container" $ | nindent 6 }}
      args: [models, pull]
      env:
        {{- include "scriptorium.env" $ | nindent 8 }}
        {{- include "scriptorium.modelEnv" $pool | nindent 8 }}
        {{- with $pool.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- with $pool.extraEnvFrom }}
      envFrom:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $.Values.models.pullResources }}
      resources:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      volumeMounts:
        {{- include "scriptorium.plainMounts" $ | nindent 8 }}
        - name: models
          mountPath: /models
        {{- with $pool.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  {{- end }}
  containers:
    - name: worker
      {{- include "scriptorium.container" $ | nindent 6 }}
      args: [worker]
      env:
        {{- include "scriptorium.env" $ | nindent 8 }}
        {{- include "scriptorium.secretEnv" $ | trim | nindent 8 }}
        {{- include "scriptorium.modelEnv" $pool | nindent 8 }}
        - name: SCRIPTORIUM__COMPUTE__THREADS
          value: {{ int64 $pool.threads | quote }}
        - name: SCRIPTORIUM__WORKER__LANES
          value: {{ join "," $pool.lanes | quote }}
        - name: SCRIPTORIUM__WORKER__JOBS
          value: {{ int64 $pool.jobs | quote }}
        - name: SCRIPTORIUM__WORKER__DRAIN_SECONDS
          value: {{ int64 $pool.drainSeconds | quote }}
        {{- if eq $pool.scaling.type "scaledJob" }}
        - name: SCRIPTORIUM__WORKER__IDLE_SECONDS
          value: {{ int64 $pool.scaling.scaledJob.idleSeconds | quote }}
        {{- end }}
        {{- with $pool.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- with $pool.extraEnvFrom }}
      envFrom:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      ports:
        - name: admin
          containerPort: 9464
          protocol: TCP
      {{- include "scriptorium.probes" $ | nindent 6 }}
      {{- with $pool.resources }}
      resources:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      volumeMounts:
        {{- include "scriptorium.volumeMounts" $ | nindent 8 }}
        {{- with include "scriptorium.modelMount" $ | trim }}
        {{- . | nindent 8 }}
        {{- end }}
        {{- with $pool.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    {{- include "scriptorium.volumes" (list $ (include "scriptorium.fullname" $) $pool.tmpSizeLimit) | nindent 4 }}
    {{- with include "scriptorium.modelVolume" $ | trim }}
    {{- . | nindent 4 }}
    {{- end }}
    {{- with $pool.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}
