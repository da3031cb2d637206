{{/* Labels that select the provisioner's pod; they never change. */}}
{{- define "local-path.selectorLabels" -}}
app.kubernetes.io/name: local-path
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Labels of every object. */}}
{{- define "local-path.labels" -}}
{{ include "local-path.selectorLabels" . }}
app.kubernetes.io/version: {{ .Values.image.tag | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}
