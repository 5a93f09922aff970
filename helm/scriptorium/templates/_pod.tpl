{{/* Parts that the pods of all components share. They take the root context unless they say otherwise. */}}

{{/* Secrets as files or variables. `_FILE` names a file with the value of a key of the configuration. */}}
{{- define "scriptorium.secretEnv" -}}
{{- $ := . }}
{{- range $secret := include "scriptorium.secrets" . | fromYamlArray }}
{{- if $.Values.mountSecrets }}
- name: {{ $secret.env }}_FILE
  value: /run/secrets/scriptorium/{{ $secret.file }}
{{- else }}
- name: {{ $secret.env }}
  valueFrom:
    secretKeyRef:
      name: {{ $secret.secret }}
      key: {{ $secret.key | quote }}
{{- end }}
{{- end }}
{{- end }}

{{- define "scriptorium.secrets" -}}
- {env: SCRIPTORIUM__QUEUE__URL, file: broker-url, secret: {{ .Values.broker.existingSecret | quote }}, key: {{ .Values.broker.urlKey | quote }}}
{{- with .Values.store }}
{{- if .existingSecret }}
- {env: SCRIPTORIUM__STORE__S3__ACCESS_KEY, file: s3-access-key, secret: {{ .existingSecret | quote }}, key: {{ .accessKeyKey | quote }}}
- {env: SCRIPTORIUM__STORE__S3__SECRET_KEY, file: s3-secret-key, secret: {{ .existingSecret | quote }}, key: {{ .secretKeyKey | quote }}}
{{- end }}
{{- end }}
{{- with .Values.webhooks }}
{{- if .existingSecret }}
- {env: SCRIPTORIUM__NOTIFY__SECRET, file: webhook-secret, secret: {{ .existingSecret | quote }}, key: {{ .secretKey | quote }}}
{{- end }}
{{- end }}
{{- end }}

{{- define "scriptorium.env" -}}
- name: SCRIPTORIUM_CONFIG
  value: /etc/scriptorium/config.toml
# What the program keeps in a home directory is lost with the pod.
- name: HOME
  value: /tmp
{{- end }}

{{- define "scriptorium.plainMounts" -}}
- name: config
  mountPath: /etc/scriptorium
  readOnly: true
- name: tmp
  mountPath: /tmp
{{- end }}

{{- define "scriptorium.volumeMounts" -}}
{{ include "scriptorium.plainMounts" . }}
{{- if .Values.mountSecrets }}
- name: secrets
  mountPath: /run/secrets/scriptorium
  readOnly: true
{{- end }}
{{- if .Values.broker.tls.existingSecret }}
- name: broker-tls
  mountPath: /run/secrets/broker-tls
  readOnly: true
{{- end }}
{{- end }}

{{/* Takes (list context name-of-the-ConfigMap size-of-/tmp). */}}
{{- define "scriptorium.volumes" -}}
{{- $ := index . 0 -}}
- name: config
  configMap:
    name: {{ index . 1 }}
- name: tmp
  emptyDir:
    sizeLimit: {{ index . 2 }}
{{- if $.Values.mountSecrets }}
- name: secrets
  projected:
    # The group, fsGroup, reads them too.
    defaultMode: 0440
    sources:
      {{- range $secret := include "scriptorium.secrets" $ | fromYamlArray }}
      - secret:
          name: {{ $secret.secret }}
          items:
            - key: {{ $secret.key | quote }}
              path: {{ $secret.file }}
      {{- end }}
{{- end }}
{{- with $.Values.broker.tls }}
{{- if .existingSecret }}
- name: broker-tls
  secret:
    secretName: {{ .existingSecret }}
    defaultMode: 0440
    items:
      {{- if .caKey }}
      - {key: {{ .caKey | quote }}, path: ca.crt}
      {{- end }}
      {{- if .certificateKey }}
      - {key: {{ .certificateKey | quote }}, path: tls.crt}
      - {key: {{ .privateKeyKey | quote }}, path: tls.key}
      {{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "scriptorium.scheduling" -}}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- else }}
{{- if .preferArm64 }}
affinity:
  nodeAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 50
        preference:
          matchExpressions:
            - key: kubernetes.io/arch
              operator: In
              values: [arm64]
{{- end }}
{{- end }}
{{- end }}

{{- define "scriptorium.probes" -}}
startupProbe:
  httpGet: {path: /startupz, port: admin}
  {{- toYaml .Values.startupProbe | nindent 2 }}
livenessProbe:
  httpGet: {path: /livez, port: admin}
  {{- toYaml .Values.livenessProbe | nindent 2 }}
readinessProbe:
  httpGet: {path: /readyz, port: admin}
  {{- toYaml .Values.readinessProbe | nindent 2 }}
{{- end }}

{{- define "scriptorium.container" -}}
image: {{ include "scriptorium.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  {{- toYaml .Values.securityContext | nindent 2 }}
{{- end }}

{{/* Takes (list context service-account). */}}
{{- define "scriptorium.podSpec" -}}
{{- $ := index . 0 -}}
serviceAccountName: {{ index . 1 }}
automountServiceAccountToken: {{ $.Values.serviceAccount.automountServiceAccountToken }}
# The program needs no addresses of services in its environment.
enableServiceLinks: false
{{- with $.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- toYaml $.Values.podSecurityContext | nindent 2 }}
{{- end }}
