{{/* Where the models are, and which a pool needs. */}}

{{/* Takes a pool. */}}
{{- define "scriptorium.modelEnv" -}}
- name: SCRIPTORIUM__MODELS__RECOGNIZER
  value: {{ .recognizer | quote }}
- name: SCRIPTORIUM__MODELS__ALSO
  value: {{ join "," .also | quote }}
{{- with .speakers }}
- name: SCRIPTORIUM__MODELS__SPEAKERS
  value: {{ . | quote }}
{{- end }}
{{- with .speakerSegmentation }}
- name: SCRIPTORIUM__MODELS__SPEAKER_SEGMENTATION
  value: {{ . | quote }}
{{- end }}
{{- end }}

{{- define "scriptorium.modelMount" -}}
{{- if ne .Values.models.cache "image" }}
- name: models
  mountPath: /models
  readOnly: true
  {{- if eq .Values.models.cache "imageVolume" }}
  {{- with .Values.models.imageVolume.subPath }}
  subPath: {{ . }}
  {{- end }}
  {{- end }}
{{- end }}
{{- end }}

{{- define "scriptorium.modelVolume" -}}
{{- with .Values.models }}
{{- if eq .cache "emptyDir" }}
- name: models
  emptyDir:
    sizeLimit: {{ .emptyDir.sizeLimit }}
{{- else if eq .cache "pvc" }}
- name: models
  persistentVolumeClaim:
    claimName: {{ default (printf "%s-models" (include "scriptorium.fullname" $)) .pvc.existingClaim }}
{{- else if eq .cache "imageVolume" }}
- name: models
  image:
    reference: {{ .imageVolume.reference | quote }}
    pullPolicy: {{ .imageVolume.pullPolicy }}
{{- end }}
{{- end }}
{{- end }}
