{{/* Merges a map into another one, in place. Unlike mergeOverwrite, it also takes over `false`, 0 and empty lists. */}}
{{- define "scriptorium.merge" -}}
{{- $into := index . 0 }}
{{- range $key, $value := index . 1 }}
{{- $old := get $into $key }}
{{- if and (kindIs "map" $value) (kindIs "map" $old) }}
{{- include "scriptorium.merge" (list $old $value) }}
{{- else }}
{{- $_ := set $into $key $value }}
{{- end }}
{{- end }}
{{- end }}

{{/* Returns a quantity of CPU as a number of threads: rounded up, at least 1. */}}
{{- define "scriptorium.threads" -}}
{{- $quantity := toString . }}
{{- $cores := 0.0 }}
{{- if hasSuffix "m" $quantity }}
{{- $cores = divf (trimSuffix "m" $quantity | float64) 1000.0 }}
{{- else }}
{{- $cores = float64 $quantity }}
{{- end }}
{{- max 1 (ceil $cores | int64) }}
{{- end }}

{{/*
Fills `.into.pools` with the pools: each with the defaults, and with what follows from them (`fullname`, `threads`, `jobs`,
`terminationGracePeriodSeconds`, `messagesPerWorker`, `countsWatches`). Takes (dict "context" $ "into" (dict)).
*/}}
{{- define "scriptorium.pools" -}}
{{- $ := .context }}
{{- $pools := list }}
{{- $names := list }}
{{- $models := dict }}
{{- $awake := false }}
{{- range $own := $.Values.pools }}
  {{- $pool := deepCopy $.Values.poolDefaults }}
  {{- include "scriptorium.merge" (list $pool $own) }}
  {{- $where := printf "pool `%s`" $pool.name }}
  {{- if has $pool.name $names }}
    {{- fail (printf "%s: there are two pools of this name" $where) }}
  {{- end }}
  {{- $names = append $names $pool.name }}
  {{- $_ := set $pool "fullname" (printf "%s-%s" (include "scriptorium.fullname" $) $pool.name) }}

  {{- if kindIs "invalid" $pool.threads }}
    {{- $resources := $pool.resources | default dict }}
    {{- $cpu := dig "limits" "cpu" (dig "requests" "cpu" "" $resources) $resources }}
    {{- if not $cpu }}
      {{- fail (printf "%s: set `threads`, or resources.requests.cpu: without either, a worker would use all cores of its node" $where) }}
    {{- end }}
    {{- $_ := set $pool "threads" (include "scriptorium.threads" $cpu | int64) }}
  {{- end }}
  {{- if kindIs "invalid" $pool.jobs }}
    {{- $_ := set $pool "jobs" (add (int64 $pool.threads) 1) }}
  {{- end }}

  {{- $drain := int64 $pool.drainSeconds }}
  {{- if kindIs "invalid" $pool.terminationGracePeriodSeconds }}
    {{- $_ := set $pool "terminationGracePeriodSeconds" (add $drain 10) }}
  {{- else if lt (int64 $pool.terminationGracePeriodSeconds) (add $drain 5) }}
    {{- fail (printf "%s: terminationGracePeriodSeconds (%d) must be at least 5 more than drainSeconds (%d): Kubernetes would kill workers that drain" $where (int64 $pool.terminationGracePeriodSeconds) $drain) }}
  {{- end }}

  {{- $scaling := $pool.scaling }}
  {{- if eq $scaling.type "none" }}
    {{- if kindIs "invalid" $scaling.replicas }}
      {{- $_ := set $scaling "replicas" 1 }}
    {{- end }}
    {{- $awake = or $awake (gt (int64 $scaling.replicas) 0) }}
  {{- else if not (kindIs "invalid" $scaling.replicas) }}
    {{- fail (printf "%s: scaling.replicas goes with scaling.type `none` only: with `%s`, each upgrade would reset what the autoscaler has set" $where $scaling.type) }}
  {{- end }}
  {{- if eq $scaling.type "hpa" }}
    {{- $awake = true }}
    {{- if gt (int64 $scaling.hpa.minReplicas) (int64 $scaling.hpa.maxReplicas) }}
      {{- fail (printf "%s: scaling.hpa.minReplicas is more than maxReplicas" $where) }}
    {{- end }}
  {{- end }}
  {{- if has $scaling.type (list "keda" "scaledJob") }}
    {{- $keda := $scaling.keda }}
    {{- if gt (int64 $keda.minReplicas) (int64 $keda.maxReplicas) }}
      {{- fail (printf "%s: scaling.keda.minReplicas is more than maxReplicas" $where) }}
    {{- end }}
    {{- if kindIs "invalid" $keda.idleReplicas }}
      {{- $awake = or $awake (gt (int64 $keda.minReplicas) 0) }}
    {{- else if le (int64 $keda.minReplicas) (int64 $keda.idleReplicas) }}
      {{- fail (printf "%s: scaling.keda.idleReplicas must be less than minReplicas" $where) }}
    {{- end }}
    {{- if kindIs "invalid" $keda.messagesPerWorker }}
      {{- $_ := set $keda "messagesPerWorker" $pool.jobs }}
    {{- end }}
  {{- end }}

  {{- $offered := list $pool.recognizer (sortAlpha $pool.also) $pool.speakers $pool.speakerSegmentation | toJson }}
  {{- range $lane := $pool.lanes }}
    {{- $other := get $models $lane }}
    {{- if and $other (ne $other.models $offered) }}
      {{- fail (printf "pools `%s` and `%s` serve the lane `%s` with different models: a job would get either. Give them different lanes, or install the chart twice with different broker.prefix" $other.pool $pool.name $lane) }}
    {{- end }}
    {{- $_ := set $models $lane (dict "pool" $pool.name "models" $offered) }}
  {{- end }}
  {{- $pools = append $pools $pool }}
{{- end }}

{{- /* One worker of all pools is enough for watches: that of a pool which always has one, else of the first that KEDA scales. */}}
{{- $counted := $awake }}
{{- range $pool := $pools }}
  {{- $scaled := has $pool.scaling.type (list "keda" "scaledJob") }}
  {{- $_ := set $pool "countsWatches" (and $scaled (not $counted)) }}
  {{- $counted = or $counted $scaled }}
{{- end }}
{{- $_ := set .into "pools" $pools }}
{{- end }}

{{/* Refuses values that the schema cannot, of parts that are shared by all pools. */}}
{{- define "scriptorium.check" -}}
{{- if not .Values.broker.existingSecret }}
  {{- fail "broker.existingSecret: name the secret with the broker's URL (kubectl create secret generic scriptorium-broker --from-literal=url=amqp://...)" }}
{{- end }}
{{- with .Values.broker.management.url }}
  {{- if not (regexMatch "^https?://" .) }}
    {{- fail (printf "broker.management.url (%s) must be the management API (http:// or https://, port 15672): over AMQP, KEDA does not see the jobs that workers hold, and stops busy workers" (regexReplaceAll "//[^@/]*@" . "//***@")) }}
  {{- end }}
{{- end }}
{{- if and (eq .Values.models.cache "imageVolume") (not .Values.models.imageVolume.reference) }}
  {{- fail "models.imageVolume.reference: name the image with the models" }}
{{- end }}
{{- if and (eq .Values.models.cache "imageVolume") (semverCompare "<1.33.0-0" .Capabilities.KubeVersion.Version) }}
  {{- fail "models.cache: image volumes with a subPath need Kubernetes 1.33; use `emptyDir`, `pvc` or `image`" }}
{{- end }}
{{- if and .Values.bridge.enabled (not .Values.bridge.rules) }}
  {{- fail "bridge.rules: a bridge without rules would ignore all uploads" }}
{{- end }}
{{- if and .Values.submit.enabled (not (and .Values.submit.sources .Values.submit.output)) }}
  {{- fail "submit.sources and submit.output: say what to submit, and where the transcripts go" }}
{{- end }}
{{- if and .Values.helmTest.source (not .Values.helmTest.output) }}
  {{- fail "helmTest.output: say where the transcripts would go" }}
{{- end }}
{{- end }}
