{{/* What is added to the chart, and must neither undo what it sets nor hold a secret. No text here quotes what may be one. */}}

{{/* Flags that are the chart's to set, as {flag: what to do instead}. */}}
{{- define "exporter.ownFlags" -}}
config.check: a pod that only checks its configuration ends at once
config.file: set accounts and config instead
help: a pod that only prints its help ends at once
log.format: set log.format instead
log.level: set log.level instead
shard: set shards instead
total-shards: set shards instead
version: a pod that only prints its version ends at once
web.config.file: set web.existingSecret or web.tls instead
web.listen-address: probes, Service and monitors go by port 10427
web.telemetry-path: monitors go by /metrics
{{- end }}

{{/* Not empty for a text that is an API key, is given one, or holds a private key or a URL with a user or password. */}}
{{- define "exporter.secretive" -}}
{{- regexFind `(^|=)[A-Za-z0-9]{64}\s*$|PRIVATE KEY|://[^\s/?#]*(@|:[0-9]*[^\s/?#0-9][^\s@]*@)` . -}}
{{- end }}

{{/* What is added to the pods, and must neither undo what the chart sets nor hold a secret. */}}
{{- define "exporter.checkExtras" -}}
{{- $flags := include "exporter.ownFlags" . | fromYaml -}}
{{- $variables := dict -}}
{{- range $flag, $instead := $flags -}}
{{- $_ := set $variables (printf "BINANCE_FUTURES_EXPORTER_%s" ($flag | upper | replace "." "_" | replace "-" "_")) $instead -}}
{{- end -}}
{{- range $index, $argument := .Values.extraArgs -}}
{{- $place := printf "extraArgs[%d]" $index -}}
{{- if not (regexMatch "^--[a-z]" $argument) -}}
{{- fail (printf "%s: must be a flag in one, such as --name or --name=value" $place) -}}
{{- end -}}
{{- with get $flags (regexFind "^[^=]*" $argument | trimPrefix "--") -}}
{{- fail (printf "%s: %s: %s" $place (regexFind "^[^=]*" $argument) .) -}}
{{- end -}}
{{- if include "exporter.secretive" $argument -}}
{{- fail (printf "%s: holds what looks like a password or a key, which would be for all to see" $place) -}}
{{- end -}}
{{- end -}}
{{- range $index, $variable := .Values.extraEnv -}}
{{- if not (regexMatch "^[-._a-zA-Z][-._a-zA-Z0-9]*$" $variable.name) -}}
{{- fail (printf "extraEnv[%d].name: must be letters, digits, underscores, hyphens and dots, no digit first; what it is goes into value or valueFrom" $index) -}}
{{- end -}}
{{- $place := printf "extraEnv[%d] (%s)" $index $variable.name -}}
{{- if regexMatch "^BINANCE_(ACCOUNT|ENDPOINT|(API|SECRET|PRIVATE)_KEY(_PASSPHRASE)?(_FILE)?)$" $variable.name -}}
{{- fail (printf "%s: is for an exporter without a configuration file: set accounts, and config.binance.endpoint, instead" $place) -}}
{{- end -}}
{{- with get $variables $variable.name -}}
{{- fail (printf "%s: %s" $place .) -}}
{{- end -}}
{{- if and (hasKey $variable "value") $variable.valueFrom -}}
{{- fail (printf "%s: has a value and a valueFrom: give it one of them" $place) -}}
{{- end -}}
{{- $from := $variable.valueFrom | default dict -}}
{{- range $kind := list "secretKeyRef" "configMapKeyRef" -}}
{{- include "exporter.checkReference" (list (printf "extraEnv[%d].valueFrom.%s" $index $kind) (get $from $kind)) -}}
{{- end -}}
{{- if include "exporter.secretive" ($variable.value | default "") -}}
{{- fail (printf "%s: holds what looks like a password or a key: take it from a Secret, by valueFrom.secretKeyRef" $place) -}}
{{- end -}}
{{- end -}}
{{- include "exporter.checkOnce" (list "extraEnv" .Values.extraEnv "name" (list "POD_NAME")) -}}
{{- include "exporter.checkOnce" (list "extraVolumes" .Values.extraVolumes "name" (list "tmp" "config" "keys" "web")) -}}
{{- include "exporter.checkOnce" (list "extraContainers" .Values.extraContainers "name" (list "exporter")) -}}
{{- include "exporter.checkOnce" (list "extraVolumeMounts" .Values.extraVolumeMounts "mountPath" list) -}}
{{- $own := printf "^(/tmp|%s/(config|keys|web)(/.*)?)$" (include "exporter.directory" .) -}}
{{- range $index, $mount := .Values.extraVolumeMounts -}}
{{- if not (regexMatch "^/[^:]*$" $mount.mountPath) -}}
{{- fail (printf "extraVolumeMounts[%d].mountPath: must be a path from the root (/), without a colon" $index) -}}
{{- end -}}
{{- if regexMatch $own (clean $mount.mountPath) -}}
{{- fail (printf "extraVolumeMounts[%d].mountPath: %s is a folder of the chart's own: choose another" $index (regexFind $own (clean $mount.mountPath))) -}}
{{- end -}}
{{- end -}}
{{- range $index, $container := .Values.extraContainers -}}
{{- $variables := get $container "env" -}}
{{- range $position, $variable := kindIs "slice" $variables | ternary $variables list -}}
{{- if and (kindIs "map" $variable) (include "exporter.secretive" (get $variable "value" | toString)) -}}
{{- fail (printf "extraContainers[%d].env[%d]: holds what looks like a password or a key: take it from a Secret, by valueFrom.secretKeyRef" $index $position) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}
