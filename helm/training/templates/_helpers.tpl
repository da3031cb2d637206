{{/* Name of the run: of its Lease, its folder, and the beginning of its Job's. */}}
{{- define "training.run" -}}
{{ .Values.run.name | default .Release.Name }}
{{- end }}

{{/* Folder of the run. */}}
{{- define "training.folder" -}}
{{ trimSuffix "/" .Values.run.folder }}/{{ include "training.run" . }}
{{- end }}

{{/* Labels that select what belongs to the release; they never change. */}}
{{- define "training.selectorLabels" -}}
app.kubernetes.io/name: training
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Labels of every object. */}}
{{- define "training.labels" -}}
{{ include "training.selectorLabels" . }}
app.kubernetes.io/version: {{ .Values.image.tag | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{/* Labels of the test, which is not the run. */}}
{{- define "training.testLabels" -}}
app.kubernetes.io/name: training-test
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* The image of driver and executors. */}}
{{- define "training.image" -}}
{{ .Values.image.registry }}/{{ .Values.image.repository }}:{{ .Values.image.tag }}
{{- end }}

{{/* MiB of the driver's pod: its heap, and what hepspark gives executors in the same way. */}}
{{- define "training.driverMemory" -}}
{{- $unit := ternary 1024 1 (hasSuffix "g" .Values.driver.memory) -}}
{{- $heap := mul $unit (trimSuffix "m" (trimSuffix "g" .Values.driver.memory) | int) -}}
{{ add $heap (max 768 (div (mul 2 $heap) 5)) }}Mi
{{- end }}

{{/* Variables of driver and executors. */}}
{{- define "training.environment" -}}
{{- range list "AWS_ACCESS_KEY_ID" "AWS_SECRET_ACCESS_KEY" }}
- name: {{ . }}
  valueFrom:
    secretKeyRef:
      name: {{ $.Values.storage.existingSecret }}
      key: {{ . }}
{{- end }}
{{- if .Values.storage.caConfigMap }}
- name: HEPSPARK_CA_FILE
  value: /etc/hepspark-ca/ca.crt
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* What keeps a container from changing itself or its host. */}}
{{- define "training.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* What the pods of driver and executors have in common. */}}
{{- define "training.podSettings" -}}
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 185
  runAsGroup: 185
  fsGroup: 185
  seccompProfile:
    type: RuntimeDefault
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Folders of driver and executors. */}}
{{- define "training.mounts" -}}
- name: tmp
  mountPath: /tmp
{{- if .Values.storage.caConfigMap }}
- name: ca
  mountPath: /etc/hepspark-ca
  readOnly: true
{{- end }}
{{- end }}

{{- define "training.volumes" -}}
- name: tmp
  emptyDir: {}
{{- if .Values.storage.caConfigMap }}
- name: ca
  configMap:
    name: {{ .Values.storage.caConfigMap }}
{{- end }}
{{- end }}

{{/* The folder of the configuration. Executors do not need it: the driver sends them what they need. */}}
{{- define "training.configMount" -}}
- name: config
  mountPath: /etc/hepspark
  readOnly: true
{{- end }}

{{- define "training.configVolume" -}}
- name: config
  configMap:
    name: {{ .Release.Name }}
{{- end }}

{{/* The configuration that the steps read: the user's, and what follows from the other values. */}}
{{- define "training.config" -}}
{{- $storage := dict
  "endpoint" .Values.storage.endpoint
  "region" .Values.storage.region
  "path_style" .Values.storage.pathStyle }}
{{- if .Values.storage.caConfigMap }}
{{- $_ := set $storage "ca_bundle" "/etc/hepspark-ca/ca.crt" }}
{{- end }}
{{- $executor := dict
  "instances" .Values.executor.instances
  "cores" .Values.executor.cores
  "memory" .Values.executor.memory
  "pending_timeout" .Values.executor.pendingTimeoutSeconds }}
{{- with .Values.executor.cpu }}
{{- $_ := set $executor "cpu" (toString .) }}
{{- end }}
{{- $spark := dict
  "master" "k8s://https://kubernetes.default.svc"
  "app_name" (include "training.run" .)
  "driver_memory" .Values.driver.memory
  "executor" $executor
  "kubernetes" (dict
    "image" (include "training.image" .)
    "executor_template" "/etc/hepspark/executor.yaml"
    "service_account" .Values.serviceAccount.executor)
  "conf" (merge (dict "spark.kubernetes.container.image.pullPolicy" .Values.image.pullPolicy) .Values.sparkConf) }}
{{- with .Values.history.logs }}
{{- $_ := set $spark "event_log" . }}
{{- end }}
{{- toYaml (merge (dict "storage" $storage "spark" $spark) .Values.config) }}
{{- end }}

{{/* The pod that Spark completes for each executor. */}}
{{- define "training.executor" -}}
apiVersion: v1
kind: Pod
metadata:
  labels:
    {{- include "training.selectorLabels" . | nindent 4 }}
    app.kubernetes.io/component: executor
spec:
  automountServiceAccountToken: false
  {{- include "training.podSettings" . | nindent 2 }}
  containers:
    - name: executor
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      env:
        {{- include "training.environment" . | trim | nindent 8 }}
      securityContext:
        {{- include "training.containerSecurity" . | nindent 8 }}
      volumeMounts:
        {{- include "training.mounts" . | nindent 8 }}
  volumes:
    {{- include "training.volumes" . | nindent 4 }}
{{- end }}

{{/* A Job without its name. With a template, the Job that a user makes from it names the run. */}}
{{- define "training.job" -}}
backoffLimit: {{ .Values.retries }}
ttlSecondsAfterFinished: {{ .Values.ttlSeconds }}
podFailurePolicy:
  rules:
    - action: Ignore # the node was drained, or the pod had to make room: not the run's failure
      onPodConditions:
        - type: DisruptionTarget
          status: "True"
    - action: FailJob # what it was given is wrong: trying again would not help
      onExitCodes:
        containerName: driver
        operator: In
        values: [2]
template:
  metadata:
    labels:
      {{- include "training.selectorLabels" . | nindent 6 }}
      app.kubernetes.io/component: driver
      spark-role: driver
      {{- if not .Values.template }}
      hepspark/run: {{ include "training.run" . }}
      {{- end }}
    annotations:
      hepspark/config: {{ printf "%s\n%s" (include "training.config" .) (include "training.executor" .) | sha256sum | trunc 16 }}
  spec:
    restartPolicy: Never # each attempt has its own pod and log
    serviceAccountName: {{ .Values.serviceAccount.driver }}
    automountServiceAccountToken: true
    # A step under way is finished and committed before the driver goes.
    terminationGracePeriodSeconds: 120
    {{- include "training.podSettings" . | nindent 4 }}
    containers:
      - name: driver
        image: {{ include "training.image" . }}
        imagePullPolicy: {{ .Values.image.pullPolicy }}
        args:
          - {{ .Values.command }}
          - /etc/hepspark/config.yaml
          - --set
          - folder={{ trimSuffix "/" .Values.run.folder }}/$(HEPSPARK_RUN)
        env:
          - name: HEPSPARK_RUN
            {{- if .Values.template }}
            valueFrom:
              fieldRef:
                fieldPath: metadata.labels['batch.kubernetes.io/job-name']
            {{- else }}
            value: {{ include "training.run" . }}
            {{- end }}
          - name: JOB_NAME
            valueFrom:
              fieldRef:
                fieldPath: metadata.labels['batch.kubernetes.io/job-name']
          - name: POD_NAME
            valueFrom:
              fieldRef:
                fieldPath: metadata.name
          - name: POD_NAMESPACE
            valueFrom:
              fieldRef:
                fieldPath: metadata.namespace
          - name: POD_IP
            valueFrom:
              fieldRef:
                fieldPath: status.podIP
          - name: TERMINATION_LOG
            value: /dev/termination-log
          - name: SPARK_CONF_DIR
            value: /etc/spark
          {{- include "training.environment" . | trim | nindent 10 }}
        ports:
          - name: driver
            containerPort: 7078
          - name: blocks
            containerPort: 7079
        terminationMessagePolicy: FallbackToLogsOnError
        securityContext:
          {{- include "training.containerSecurity" . | nindent 10 }}
        resources:
          requests:
            cpu: {{ .Values.driver.cpu | quote }}
            memory: {{ include "training.driverMemory" . }}
          limits:
            cpu: {{ .Values.driver.cores }}
            memory: {{ include "training.driverMemory" . }}
        volumeMounts:
          {{- include "training.configMount" . | nindent 10 }}
          - name: spark
            mountPath: /etc/spark
            readOnly: true
          {{- include "training.mounts" . | nindent 10 }}
    volumes:
      {{- include "training.configVolume" . | nindent 6 }}
      - name: spark
        configMap:
          name: {{ .Values.sparkDefaults }}
          optional: true
      {{- include "training.volumes" . | nindent 6 }}
{{- end }}

{{/* The Job's name has a hash of its specification: an upgrade without a change keeps the Job, another makes a new Job. */}}
{{- define "training.jobName" -}}
{{ include "training.run" . }}-{{ include "training.job" . | fromYaml | toJson | sha256sum | trunc 8 }}
{{- end }}
