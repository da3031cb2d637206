{{/* Labels that select the pod; they never change. */}}
{{- define "minio.selectorLabels" -}}
app.kubernetes.io/name: minio
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Labels of every object. */}}
{{- define "minio.labels" -}}
{{ include "minio.selectorLabels" . }}
app.kubernetes.io/version: {{ .Values.image.tag | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{/* The address inside the cluster. */}}
{{- define "minio.endpoint" -}}
{{ empty .Values.tls.existingSecret | ternary "http" "https" }}://{{ .Release.Name }}.{{ .Release.Namespace }}.svc:9000
{{- end }}
