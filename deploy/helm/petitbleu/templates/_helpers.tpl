{{/* Who may call whom: the edges of docs/architecture.md. `health` is the port of /livez, /health/ready and /metrics. */}}
{{- define "petitbleu.services" -}}
ingest: {calls: [accounts, store, junior-guard, delivery], backends: [nats, redis], health: 2801, doors: {smtp: 2525, submission: 2587, submissions: 2465}, outside: []}
store: {calls: [], backends: [nats, postgres, seaweedfs], health: 2802, grpc: true, outside: []}
delivery: {calls: [accounts, store, junior-guard], backends: [nats, postgres], health: 2803, grpc: true, outside: [25, 443]}
junior-guard: {calls: [store, accounts], backends: [nats, postgres], health: 2804, grpc: true, outside: []}
accounts: {calls: [store], backends: [nats, postgres, redis], health: 2805, grpc: true, outside: []}
gateway: {calls: [store, delivery, junior-guard, accounts], backends: [nats, redis], health: 2806, doors: {http: 8080, https: 8443, managesieve: 2190}, outside: [80, 443]}
{{- end }}

{{- define "petitbleu.backendPorts" -}}
postgres: 5432
nats: 4222
redis: 6379
seaweedfs: 8333
{{- end }}

{{- define "petitbleu.grpcPort" -}}9000{{- end }}

{{/* Labels that select the pods of a part: {root, part}. */}}
{{- define "petitbleu.selector" -}}
app.kubernetes.io/name: petitbleu
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .part }}
{{- end }}

{{- define "petitbleu.labels" -}}
{{ include "petitbleu.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{- end }}

{{- define "petitbleu.image" -}}{{ .Values.image.repository }}:{{ .Values.image.tag }}{{- end }}

{{- define "petitbleu.tls" -}}{{ .Values.tls.existingSecret | default (printf "%s-tls" .Release.Name) }}{{- end }}

{{/* Pod Security Standard "restricted": of a pod, given its user, and of a container. */}}
{{- define "petitbleu.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ . }}
runAsGroup: {{ . }}
fsGroup: {{ . }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "petitbleu.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* A variable from a secret: {name, secret, key}. */}}
{{- define "petitbleu.secretVariable" -}}
- name: {{ .name }}
  valueFrom: {secretKeyRef: {name: {{ .secret }}, key: {{ .key | default .name }}}}
{{- end }}
