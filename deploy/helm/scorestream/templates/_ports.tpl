{{- /* The port on which a part listens: from its settings, else the default of stream/settings_sections.py. */ -}}
{{- define "scorestream.port" -}}
{{- $own := (index .root.Values .part).settings -}}
{{- $name := ternary "SCORESTREAM_MONITOR_PORT" "SCORESTREAM_WEB_PORT" (eq .part "monitor") -}}
{{- $default := ternary "6067" "6066" (eq .part "monitor") -}}
{{- get $own $name | default (get .root.Values.settings $name) | default $default -}}
{{- end -}}

{{- /* URLs of the processes that a monitor, `lag` and `doctor` ask. */ -}}
{{- define "scorestream.processes" -}}
{{- $urls := list -}}
{{- range $part := list "worker" "verify" -}}
{{- if or (eq $part "worker") $.Values.verify.enabled -}}
{{- $port := include "scorestream.port" (dict "root" $ "part" $part) -}}
{{- $urls = append $urls (printf "http://%s-%s:%s" (include "scorestream.fullname" $) $part $port) -}}
{{- end -}}
{{- end -}}
{{- join "," $urls -}}
{{- end -}}
