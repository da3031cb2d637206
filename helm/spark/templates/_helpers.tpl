{{/* Labels of every object. */}}
{{- define "spark.labels" -}}
app.kubernetes.io/name: spark
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Values.image.tag | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "spark.image" -}}
{{ .Values.image.registry }}/{{ .Values.image.repository }}:{{ .Values.image.tag }}
{{- end }}

{{/* The folder of event logs. S3A does not take a bucket alone, and Spark cuts off a slash at the end: hence the dot. */}}
{{- define "spark.logs" -}}
{{ trimSuffix "/" .Values.history.logs }}/.
{{- end }}

{{- define "spark.history.name" -}}
{{ .Release.Name }}-history
{{- end }}

{{/* Labels that select the history server's pod; they never change. */}}
{{- define "spark.history.selectorLabels" -}}
app.kubernetes.io/name: spark-history
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "spark.history.conf" -}}
spark.history.fs.logDirectory {{ include "spark.logs" . }}
spark.history.fs.update.interval 10s
spark.history.fs.cleaner.enabled {{ .Values.history.cleaner.enabled }}
spark.history.fs.cleaner.interval {{ .Values.history.cleaner.interval }}
spark.history.fs.cleaner.maxAge {{ .Values.history.cleaner.maxAge }}
spark.hadoop.fs.s3a.endpoint {{ .Values.storage.endpoint }}
spark.hadoop.fs.s3a.endpoint.region {{ .Values.storage.region }}
spark.hadoop.fs.s3a.path.style.access {{ .Values.storage.pathStyle }}
spark.hadoop.fs.s3a.connection.ssl.enabled {{ hasPrefix "https://" .Values.storage.endpoint }}
spark.hadoop.fs.s3a.aws.credentials.provider com.amazonaws.auth.EnvironmentVariableCredentialsProvider
{{- end }}

{{/* What the restricted Pod Security standard asks of a pod, and of a container. */}}
{{- define "spark.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 185
runAsGroup: 185
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "spark.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}
