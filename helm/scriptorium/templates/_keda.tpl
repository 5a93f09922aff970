{{/*
A pattern of the names of queues with jobs for a pool: those of its lanes, and those of all pools, which are the jobs of lost
workers (`quarantine`) and those that run for long (`parked`). docs/operations.md, "Queues", says why these. RabbitMQ ignores case
unless it is told not to.
*/}}
{{- define "scriptorium.jobQueues" -}}
{{- $pool := .pool }}
{{- $lanes := list }}
{{- range $lane := $pool.lanes }}
{{- $lanes = append $lanes (ternary "" (printf "\\.%s" $lane) (eq $lane "normal")) }}
{{- end -}}
^(?-i:{{ regexQuoteMeta .prefix }}\.((jobs|returned|long)({{ join "|" $lanes }})|quarantine|parked))$
{{- end }}

{{/* The same of queues for which one worker is enough, whatever their length. */}}
{{- define "scriptorium.otherQueues" -}}
^(?-i:{{ regexQuoteMeta .prefix }}\.(watches|undelivered))$
{{- end }}

{{/* The triggers of a pool. Takes (list context pool). */}}
{{- define "scriptorium.triggers" -}}
{{- $ := index . 0 }}{{ $pool := index . 1 }}{{ $prefix := $.Values.broker.prefix }}
{{- $jobs := include "scriptorium.jobQueues" (dict "prefix" $prefix "pool" $pool) -}}
{{ include "scriptorium.trigger" (dict "context" $ "pattern" $jobs "value" (int64 $pool.scaling.keda.messagesPerWorker)) }}
{{- if $pool.countsWatches }}
{{- $others := include "scriptorium.otherQueues" (dict "prefix" $prefix) }}
{{- /* So large that any number of messages asks for one worker. */}}
{{ include "scriptorium.trigger" (dict "context" $ "pattern" $others "value" 1000000) }}
{{- end }}
{{- with $pool.scaling.keda.extraTriggers }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* A trigger. Takes (dict "context" $ "pattern" ... "value" ...). */}}
{{- define "scriptorium.trigger" -}}
{{- $management := .context.Values.broker.management -}}
- type: rabbitmq
  metadata:
    protocol: http
    {{- with $management.url }}
    host: {{ . | quote }}
    {{- end }}
    {{- if or $management.vhost $management.url }}
    vhostName: {{ default "/" $management.vhost | quote }}
    {{- end }}
    mode: QueueLength
    queueName: {{ .pattern | squote }}
    useRegex: "true"
    operation: sum
    # A job that a worker holds must count, or KEDA stops the worker.
    excludeUnacknowledged: "false"
    value: {{ .value | quote }}
  authenticationRef:
    name: {{ include "scriptorium.fullname" .context }}-broker
{{- end }}
