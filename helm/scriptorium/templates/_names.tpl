{{/* Names, labels, the image. */}}

{{- define "scriptorium.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{/* The beginning of all names. 40 characters leave space for a pool: labels have at most 63. */}}
{{- define "scriptorium.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains (include "scriptorium.name" .) .Release.Name }}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "scriptorium.name" .) | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* Labels that never change, because selectors of Deployments cannot. */}}
{{- define "scriptorium.selectorLabels" -}}
app.kubernetes.io/name: {{ include "scriptorium.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "scriptorium.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "scriptorium.selectorLabels" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | trunc 63 | trimAll "-_." | quote }}
app.kubernetes.io/part-of: scriptorium
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Labels of pods: none that changes with the version of the chart, which would start all workers anew for nothing. */}}
{{- define "scriptorium.podLabels" -}}
{{ include "scriptorium.selectorLabels" . }}
app.kubernetes.io/part-of: scriptorium
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "scriptorium.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}
{{- end }}

{{/* The name of a service account. Takes (list context account suffix). */}}
{{- define "scriptorium.serviceAccountName" -}}
{{- $context := index . 0 }}{{ $account := index . 1 }}
{{- if $account.create }}
{{- default (printf "%s%s" (include "scriptorium.fullname" $context) (index . 2)) $account.name }}
{{- else }}
{{- default "default" $account.name }}
{{- end }}
{{- end }}
