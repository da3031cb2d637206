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

{{/* Labels of the pods that use the server; the service must not select them. */}}
{{- define "minio.clientLabels" -}}
app.kubernetes.io/name: minio-client
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/*
What a pod needs to run one of the chart's programs. Takes the context and the program's name.
Credentials are files, a folder for each that may log in, so that neither a ConfigMap nor an environment holds them.
*/}}
{{- define "minio.clientPod" -}}
{{- $values := .context.Values -}}
restartPolicy: Never
serviceAccountName: {{ .context.Release.Name }}
automountServiceAccountToken: false
enableServiceLinks: false
nodeSelector:
  kubernetes.io/os: linux
securityContext:
  runAsNonRoot: true
  runAsUser: 185
  runAsGroup: 185
  fsGroup: 185
  seccompProfile:
    type: RuntimeDefault
containers:
  - name: {{ .program }}
    image: {{ $values.provision.image.registry | default $values.image.registry }}/{{ $values.provision.image.repository }}:{{ $values.provision.image.tag }}
    imagePullPolicy: {{ $values.provision.image.pullPolicy }}
    args: [python, /setup/{{ .program }}.py, /setup/spec.json, /credentials]
    {{- if $values.tls.caConfigMap }}
    env:
      # One is read by boto3, the other by MinIO's own client.
      - name: AWS_CA_BUNDLE
        value: /ca/ca.crt
      - name: SSL_CERT_FILE
        value: /ca/ca.crt
    {{- end }}
    securityContext:
      allowPrivilegeEscalation: false
      readOnlyRootFilesystem: true
      capabilities:
        drop: [ALL]
    resources:
      requests:
        cpu: 50m
        memory: 128Mi
      limits:
        memory: 256Mi
    volumeMounts:
      - name: setup
        mountPath: /setup
        readOnly: true
      - name: credentials
        mountPath: /credentials
        readOnly: true
      {{- if $values.tls.caConfigMap }}
      - name: ca
        mountPath: /ca
        readOnly: true
      {{- end }}
      - name: tmp
        mountPath: /tmp
volumes:
  - name: tmp
    emptyDir: {}
  - name: setup
    configMap:
      name: {{ .context.Release.Name }}-setup
  {{- with $values.tls.caConfigMap }}
  - name: ca
    configMap:
      name: {{ . }}
  {{- end }}
  - name: credentials
    projected:
      defaultMode: 0440
      sources:
        - secret:
            name: {{ $values.auth.existingSecret }}
            items:
              - key: rootUser
                path: root/AWS_ACCESS_KEY_ID
              - key: rootPassword
                path: root/AWS_SECRET_ACCESS_KEY
        {{- range $values.users }}
        - secret:
            name: {{ .existingSecret }}
            items:
              - key: AWS_ACCESS_KEY_ID
                path: users/{{ .name }}/AWS_ACCESS_KEY_ID
              - key: AWS_SECRET_ACCESS_KEY
                path: users/{{ .name }}/AWS_SECRET_ACCESS_KEY
        {{- end }}
{{- end }}
