{{/*
Writes a value as TOML. A whole number stays one: Helm reads all numbers of a values file as floating point, so that its toToml
writes 900 as 900.0, and large ones with an exponent.
*/}}
{{- define "scriptorium.tomlValue" -}}
{{- if kindIs "map" . -}}
{ {{- range $i, $key := keys . | sortAlpha }}{{ if $i }}, {{ end }}{{ $key | toRawJson }} = {{ include "scriptorium.tomlValue" (index $ $key) }}{{ end -}} }
{{- else if kindIs "slice" . -}}
[{{ range $i, $item := . }}{{ if $i }}, {{ end }}{{ include "scriptorium.tomlValue" $item }}{{ end }}]
{{- else if kindIs "bool" . -}}
{{ . }}
{{- else if typeIs "json.Number" . -}}
{{ . }}
{{- else if or (kindIs "float64" .) (kindIs "int" .) (kindIs "int64" .) -}}
{{ if eq (float64 .) (floor .) }}{{ int64 . }}{{ else }}{{ . }}{{ end }}
{{- else -}}
{{ toRawJson . }}
{{- end -}}
{{- end }}

{{/* Writes a map of sections as TOML. What is `null` is left out. */}}
{{- define "scriptorium.toml" -}}
{{- $root := index . 0 }}{{ $prefix := index . 1 }}
{{- $tables := list }}
{{- range $key := keys $root | sortAlpha }}
{{- $value := index $root $key }}
{{- if kindIs "map" $value }}
{{- $tables = append $tables $key }}
{{- else if not (kindIs "invalid" $value) }}
{{ $key }} = {{ include "scriptorium.tomlValue" $value }}
{{- end }}
{{- end }}
{{- range $key := $tables }}
{{- $name := ternary (printf "%s.%s" $prefix $key) $key (ne $prefix "") }}
{{- $body := include "scriptorium.toml" (list (index $root $key) $name) | trim }}
{{- if $body }}
{{ if not (hasPrefix "[" $body) }}
[{{ $name }}]
{{- end }}
{{ $body }}
{{- end }}
{{- end }}
{{- end }}

{{/* Keys of the configuration that other values set, so that nothing is set twice. */}}
{{- define "scriptorium.ownKeys" -}}
bridge: bridge
compute.threads: pools[].threads
models.also: pools[].also
models.directory: models
models.recognizer: pools[].recognizer
models.speaker_segmentation: pools[].speakerSegmentation
models.speakers: pools[].speakers
notify.hosts: webhooks.hosts
notify.secret: webhooks.existingSecret
queue.ca_file: broker.tls
queue.certificate_file: broker.tls
queue.key_file: broker.tls
queue.prefix: broker.prefix
queue.url: broker.existingSecret
store.s3.access_key: store.existingSecret
store.s3.endpoint: store.endpoint
store.s3.force_path_style: store.forcePathStyle
store.s3.region: store.region
store.s3.secret_key: store.existingSecret
store.s3.session_token: store.existingSecret
telemetry.listen: the chart
worker.drain_seconds: pools[].drainSeconds
worker.idle_seconds: pools[].scaling.scaledJob.idleSeconds
worker.jobs: pools[].jobs
worker.lanes: pools[].lanes
worker.outputs: store.outputs
worker.sources: store.sources
{{- end }}

{{/* The configuration file of workers, submit and tests; with the bridge's section if the second item is true. */}}
{{- define "scriptorium.config" -}}
{{- $ := index . 0 }}
{{- range $key, $value := include "scriptorium.ownKeys" $ | fromYaml }}
  {{- $parent := $.Values.config }}
  {{- $isSet := true }}
  {{- range $part := splitList "." $key }}
    {{- $isSet = and $isSet (hasKey $parent $part) }}
    {{- if $isSet }}{{ $parent = index $parent $part }}{{ end }}
  {{- end }}
  {{- if $isSet }}
    {{- fail (printf "config.%s: set `%s` instead" $key $value) }}
  {{- end }}
{{- end }}
{{- $tls := $.Values.broker.tls }}
{{- $file := dict }}
{{- $queue := dict "prefix" $.Values.broker.prefix }}
{{- if $tls.existingSecret }}
  {{- if $tls.caKey }}
    {{- $_ := set $queue "ca_file" "/run/secrets/broker-tls/ca.crt" }}
  {{- end }}
  {{- if $tls.certificateKey }}
    {{- $_ := set $queue "certificate_file" "/run/secrets/broker-tls/tls.crt" }}
    {{- $_ := set $queue "key_file" "/run/secrets/broker-tls/tls.key" }}
  {{- end }}
{{- end }}
{{- $s3 := dict "force_path_style" $.Values.store.forcePathStyle }}
{{- with $.Values.store.endpoint }}{{ $_ := set $s3 "endpoint" . }}{{ end }}
{{- with $.Values.store.region }}{{ $_ := set $s3 "region" . }}{{ end }}
{{- $_ := set $file "queue" $queue }}
{{- $_ := set $file "store" (dict "s3" $s3) }}
{{- $_ := set $file "models" (dict "directory" "/models") }}
{{- $_ := set $file "notify" (dict "hosts" $.Values.webhooks.hosts) }}
{{- $_ := set $file "telemetry" (dict "listen" "0.0.0.0:9464") }}
{{- $_ := set $file "worker" (dict "sources" $.Values.store.sources "outputs" $.Values.store.outputs) }}
{{- if index . 1 }}
  {{- $_ := set $file "bridge" (dict "exchange" $.Values.bridge.exchange "routing_key" $.Values.bridge.routingKey "rules" $.Values.bridge.rules) }}
{{- end }}
{{- include "scriptorium.merge" (list $file (deepCopy $.Values.config)) }}
{{- include "scriptorium.toml" (list $file "") | trim }}
{{- end }}
