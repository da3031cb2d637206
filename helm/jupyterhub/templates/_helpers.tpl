{{/* Names; the hub's also begins the names of cluster-wide objects and is told to servers. */}}
{{- define "jupyterhub.hub.name" -}}
{{ .Release.Name }}-hub
{{- end }}

{{- define "jupyterhub.proxy.name" -}}
{{ .Release.Name }}-proxy
{{- end }}

{{- define "jupyterhub.cluster.name" -}}
{{ .Release.Namespace }}-{{ include "jupyterhub.hub.name" . }}
{{- end }}

{{/* Labels that select a component's pod; they never change. */}}
{{- define "jupyterhub.hub.selectorLabels" -}}
app.kubernetes.io/name: jupyterhub-hub
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "jupyterhub.proxy.selectorLabels" -}}
app.kubernetes.io/name: jupyterhub-proxy
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Labels of every object. */}}
{{- define "jupyterhub.labels" -}}
app.kubernetes.io/name: jupyterhub
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/part-of: {{ include "jupyterhub.hub.name" . }}
app.kubernetes.io/version: {{ .Values.image.tag | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{/* Label by which users' namespaces let hub and proxy in. */}}
{{- define "jupyterhub.partOf" -}}
app.kubernetes.io/part-of: {{ include "jupyterhub.hub.name" . }}
{{- end }}

{{- define "jupyterhub.hub.image" -}}
{{ .Values.image.registry }}/{{ .Values.image.repository }}:{{ .Values.image.tag }}
{{- end }}

{{- define "jupyterhub.proxy.image" -}}
{{ .Values.image.registry }}/{{ .Values.proxy.image.repository }}:{{ .Values.proxy.image.tag }}
{{- end }}

{{/* How browsers reach the proxy inside the cluster. */}}
{{- define "jupyterhub.proxy.scheme" -}}
{{ empty .Values.proxy.tls.existingSecret | ternary "http" "https" }}
{{- end }}

{{/* What the restricted Pod Security standard asks of a pod, and of a container. */}}
{{- define "jupyterhub.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 185
runAsGroup: 185
fsGroup: 185
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "jupyterhub.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* Tolerations that pods of users may have, as lists of key, operator, value and effect: Kubernetes' own, and the site's. */}}
{{- define "jupyterhub.tolerated" -}}
{{- $tolerated := list }}
{{- range list "not-ready" "unreachable" }}
{{- $tolerated = append $tolerated (list (printf "node.kubernetes.io/%s" .) "Exists" "" "NoExecute") }}
{{- end }}
{{- range .Values.servers.tolerations }}
{{- $tolerated = append $tolerated (list (.key | default "") (.operator | default "Equal") (.value | default "") (.effect | default "")) }}
{{- end }}
{{- toJson $tolerated }}
{{- end }}

{{/* What the hub reads when it starts; see deploy/images/hub/hepspark_hub/settings.py. */}}
{{- define "jupyterhub.settings" -}}
{{- $flavors := list }}
{{- range .Values.flavors }}
{{- $executors := dict "instances" .executors.instances "cores" .executors.cores "memory" .executors.memory }}
{{- with .executors.requestedCores }}
{{- $_ := set $executors "requested_cores" . }}
{{- end }}
{{- $flavors = append $flavors (dict
  "name" .name
  "title" .title
  "cores" .cores
  "requested_cores" .requestedCores
  "memory" .memory
  "driver_memory" .driverMemory
  "executors" $executors
  "groups" (.groups | default list)) }}
{{- end }}
{{- $quota := dict }}
{{- range $resource, $amount := .Values.servers.quota }}
{{- $_ := set $quota $resource (kindIs "string" $amount | ternary $amount (int64 $amount | toString)) }}
{{- end }}
{{- $settings := dict
  "namespace" .Release.Namespace
  "hub" (include "jupyterhub.hub.name" .)
  "proxy" (include "jupyterhub.proxy.name" .)
  "address" (printf "%s://%s.%s.svc" (include "jupyterhub.proxy.scheme" .) .Release.Name .Release.Namespace)
  "flavors" $flavors
  "storage" (dict
    "endpoint" .Values.storage.endpoint
    "region" .Values.storage.region
    "path_style" .Values.storage.pathStyle
    "ca_config_map" .Values.storage.caConfigMap)
  "workspace" (dict
    "bucket" .Values.workspace.bucket
    "public" .Values.workspace.public
    "credentials" .Values.workspace.credentials
    "sts_endpoint" .Values.workspace.stsEndpoint
    "role" .Values.workspace.role
    "minutes" .Values.workspace.minutes)
  "servers" (dict
    "image" (printf "%s/%s:%s" .Values.image.registry .Values.servers.image.repository .Values.servers.image.tag)
    "executor_image" (printf "%s/%s:%s" .Values.image.registry .Values.servers.executorImage.repository .Values.servers.executorImage.tag)
    "pull_policy" .Values.image.pullPolicy
    "volume" .Values.servers.volume
    "volume_class" .Values.servers.storageClass
    "quota" $quota
    "start_seconds" .Values.servers.startSeconds
    "idle_minutes" .Values.servers.idleMinutes
    "node_selector" .Values.servers.nodeSelector
    "tolerations" .Values.servers.tolerations
    "package_index" .Values.servers.packageIndex)
  "administrator" .Values.auth.administrator }}
{{- with .Values.auth.oidc }}
{{- if .clientId }}
{{- $_ := set $settings "oidc" (dict
  "client_id" .clientId
  "authorize_url" .authorizeUrl
  "token_url" .tokenUrl
  "userdata_url" .userdataUrl
  "callback_url" .callbackUrl
  "scopes" .scopes
  "username_claim" .usernameClaim
  "groups_claim" .groupsClaim
  "allowed_groups" .allowedGroups
  "admin_groups" .adminGroups
  "login_service" .loginService) }}
{{- end }}
{{- end }}
{{- toPrettyJson $settings }}
{{- end }}
