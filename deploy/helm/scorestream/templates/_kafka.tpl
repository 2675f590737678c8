{{- /* Names in Kafka, by the settings: those of stream/topic_names.py and stream/settings_sections.py. */ -}}
{{- define "scorestream.kafka" -}}
{{- $of := .Values.settings -}}
{{- $prefix := get $of "SCORESTREAM_KAFKA_TOPIC_PREFIX" | default "scorestream" -}}
{{- $letters := get $of "SCORESTREAM_KAFKA_DEAD_LETTER_TOPIC" | default (print $prefix ".dead-letters") -}}
prefix: {{ $prefix | quote }}
schema: {{ get $of "SCORESTREAM_POSTGRES_SOURCE_SCHEMA" | default "app" | quote }}
group: {{ get $of "SCORESTREAM_KAFKA_GROUP" | default "scorestream-live" | quote }}
partitions: {{ get $of "SCORESTREAM_KAFKA_PARTITIONS" | default 16 | int }}
replicationFactor: {{ get $of "SCORESTREAM_KAFKA_REPLICATION_FACTOR" | default -1 | int }}
compactionLagMs: {{ mul 1000 (get $of "SCORESTREAM_KAFKA_MIN_COMPACTION_LAG_S" | default 604800 | int64) | toString | quote }}
deadLetters: {{ $letters | quote }}
audit: {{ $prefix }}.audit
stateTopics:
  - {{ $letters }}-settled
  - {{ $prefix }}.replays
  - {{ $prefix }}.backfills
  - {{ $prefix }}.outages
connector: {{ get $of "SCORESTREAM_CONNECT_CONNECTOR" | default "scorestream" | quote }}
connect: {{ default (printf "%s-connect" (include "scorestream.fullname" .)) .Values.strimzi.connect.name | quote }}
{{- end -}}

{{- /* Connect's REST interface: Strimzi's Service where this chart makes the Connect cluster. */ -}}
{{- define "scorestream.connectUrl" -}}
{{- $connect := (include "scorestream.kafka" . | fromYaml).connect -}}
{{- $theirs := printf "http://%s-connect-api:8083" $connect -}}
{{- ternary $theirs (get .Values.settings "SCORESTREAM_CONNECT_URL") .Values.strimzi.connect.enabled -}}
{{- end -}}
