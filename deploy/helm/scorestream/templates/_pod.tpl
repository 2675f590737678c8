{{- /*
The pod of every process. Arguments: root, part, args, resources; settings and secrets of this part;
port: of a long-running process, with probes; restartPolicy: of a Job; grace: seconds after SIGTERM.
*/ -}}
{{- define "scorestream.pod" -}}
{{- $secrets := mergeOverwrite (deepCopy .root.Values.secrets.settings) (default dict .secrets) -}}
{{- $given := dict "SCORESTREAM_STATE_DIR" "/state" -}}
{{- $given = set $given "SCORESTREAM_MONITOR_PROCESSES" (include "scorestream.processes" .root) -}}
{{- $given = set $given "SCORESTREAM_INSTALLATION_NAME" (include "scorestream.installation" .root) -}}
{{- if .port -}}
{{- $given = set $given "SCORESTREAM_WEB_HOST" "0.0.0.0" -}}
{{- end -}}
{{- $settings := mergeOverwrite $given (deepCopy .root.Values.settings) (default dict .settings) -}}
{{- with include "scorestream.connectUrl" .root -}}
{{- $settings = set $settings "SCORESTREAM_CONNECT_URL" . -}}
{{- end -}}
{{- if .root.Values.strimzi.connector.enabled -}}
{{- $settings = set $settings "SCORESTREAM_CONNECT_MANAGED_BY" "strimzi" -}}
{{- end -}}
{{- $asFiles := and $secrets (eq .root.Values.secrets.as "files") -}}
metadata:
  labels:
    {{- include "scorestream.selector" . | nindent 4 }}
    {{- with .root.Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with .root.Values.podAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  # Otherwise each Service of the namespace adds variables, such as SCORESTREAM_MONITOR_PORT=tcp://..
  enableServiceLinks: false
  automountServiceAccountToken: false
  serviceAccountName: {{ .root.Values.serviceAccountName }}
  {{- with .restartPolicy }}
  restartPolicy: {{ . }}
  {{- end }}
  terminationGracePeriodSeconds: {{ default 20 .grace }}
  {{- with .root.Values.imagePullSecrets }}
  imagePullSecrets:
    {{- range . }}
    - name: {{ . }}
    {{- end }}
  {{- end }}
  {{- if and .port .root.Values.priorityClassName }}
  priorityClassName: {{ .root.Values.priorityClassName }}
  {{- end }}
  {{- with .root.Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .root.Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if .port }}
  topologySpreadConstraints:
    {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
    - maxSkew: 1
      topologyKey: {{ . }}
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "scorestream.selector" $ | nindent 10 }}
    {{- end }}
  {{- end }}
  securityContext:
    runAsNonRoot: true
    runAsUser: {{ .root.Values.runAsUser }}
    runAsGroup: {{ .root.Values.runAsUser }}
    fsGroup: {{ .root.Values.runAsUser }}
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile:
      type: RuntimeDefault
  containers:
    - name: {{ .part }}
      image: {{ include "scorestream.image" .root }}
      imagePullPolicy: {{ .root.Values.image.pullPolicy }}
      args:
        {{- toYaml .args | nindent 8 }}
      env:
        {{- range $name, $value := $settings }}
        - name: {{ $name }}
          value: {{ include "scorestream.text" $value | quote }}
        {{- end }}
        {{- range $name, $from := $secrets }}
        {{- if $asFiles }}
        - name: {{ $name }}_FILE
          value: /etc/scorestream/secrets/{{ $name }}
        {{- else }}
        - name: {{ $name }}
          valueFrom:
            secretKeyRef:
              name: {{ $from.name }}
              key: {{ default $name $from.key }}
        {{- end }}
        {{- end }}
      {{- with .port }}
      ports:
        - name: web
          containerPort: {{ . }}
      startupProbe:
        httpGet:
          path: /livez
          port: web
        periodSeconds: 5
        timeoutSeconds: {{ $.root.Values.probes.timeoutSeconds }}
        failureThreshold: {{ div (add $.root.Values.probes.startupSeconds 4) 5 }}
      livenessProbe:
        httpGet:
          path: /livez
          port: web
        periodSeconds: 10
        timeoutSeconds: {{ $.root.Values.probes.timeoutSeconds }}
        failureThreshold: {{ $.root.Values.probes.livenessFailures }}
      readinessProbe:
        httpGet:
          path: /readyz
          port: web
        periodSeconds: 5
        timeoutSeconds: {{ $.root.Values.probes.timeoutSeconds }}
        failureThreshold: 3
      {{- end }}
      resources:
        {{- toYaml .resources | nindent 8 }}
      securityContext:
        allowPrivilegeEscalation: false
        privileged: false
        readOnlyRootFilesystem: true
        capabilities:
          drop: [ALL]
      volumeMounts:
        - name: state
          mountPath: /state
        - name: tmp
          mountPath: /tmp
        {{- if $asFiles }}
        - name: secrets
          mountPath: /etc/scorestream/secrets
          readOnly: true
        {{- end }}
        {{- range .root.Values.files }}
        - name: file-{{ .name }}
          mountPath: /etc/scorestream/{{ .name }}
          readOnly: true
        {{- end }}
  volumes:
    - name: state
      emptyDir:
        sizeLimit: 1Gi
    - name: tmp
      emptyDir:
        sizeLimit: 1Gi
    {{- if $asFiles }}
    - name: secrets
      projected:
        defaultMode: 0440
        sources:
          {{- range $name, $from := $secrets }}
          - secret:
              name: {{ $from.name }}
              items:
                - key: {{ default $name $from.key }}
                  path: {{ $name }}
          {{- end }}
    {{- end }}
    {{- range .root.Values.files }}
    - name: file-{{ .name }}
      secret:
        secretName: {{ .secret }}
        defaultMode: 0440
    {{- end }}
{{- end -}}

{{- /* A Job of one pod. Arguments: those of scorestream.pod, and parallelism. */ -}}
{{- define "scorestream.job" -}}
backoffLimit: {{ .root.Values.jobs.backoffLimit }}
ttlSecondsAfterFinished: {{ .root.Values.jobs.ttlSecondsAfterFinished }}
{{- with .parallelism }}
parallelism: {{ . }}
completions: {{ . }}
{{- end }}
template:
  {{- include "scorestream.pod" (merge (dict "restartPolicy" "Never") .) | nindent 2 }}
{{- end -}}

{{- /* A value as the program reads it: Helm holds numbers as floats, and would write 6.048e+06. */ -}}
{{- define "scorestream.text" -}}
{{- if and (kindIs "float64" .) (eq . (floor .)) -}}
{{- int64 . -}}
{{- else -}}
{{- . -}}
{{- end -}}
{{- end -}}
