{{/* Labels that select the pod; they never change. */}}
{{- define "kubelet-csr-approver.selectorLabels" -}}
app.kubernetes.io/name: kubelet-csr-approver
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Labels of every object. */}}
{{- define "kubelet-csr-approver.labels" -}}
{{ include "kubelet-csr-approver.selectorLabels" . }}
app.kubernetes.io/version: {{ .Values.image.tag | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}
