{{/*
What values must not be, where a schema cannot say it, or not in words. Helm 4 shows a value that does not match a pattern:
what a key may be pasted into has none in the schema, and no text here quotes it.
*/}}

{{- define "exporter.checks" -}}
{{- include "exporter.checkPoll" (list "config.poll" .Values.config.poll) -}}
{{- include "exporter.checkBinance" (list "config.binance" .Values.config.binance) -}}
{{- range $index, $account := .Values.accounts -}}
{{- include "exporter.checkAccount" (list $ (printf "accounts[%d]" $index) $account) -}}
{{- end -}}
{{- include "exporter.checkOnce" (list "accounts" .Values.accounts "name" list) -}}
{{- with .Values.scrape -}}
{{- if and .interval .timeout -}}
{{- if gt (include "exporter.seconds" .timeout | float64) (include "exporter.seconds" .interval | float64) -}}
{{- fail (printf "scrape.timeout: %s is more than the interval of %s, which Prometheus refuses" .timeout .interval) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- include "exporter.checkExtras" . -}}
{{- range $index, $range := .Values.networkPolicy.clusterRanges -}}
{{- if not (include "exporter.isRange" $range) -}}
{{- fail (printf "networkPolicy.clusterRanges[%d]: must be IPv4 or IPv6 addresses such as 10.0.0.0/8 or fd00::/8, but not all (/0), and not %q" $index $range) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* Not empty for a range of either family that is not all addresses: a policy can only leave out a part of those. */}}
{{- define "exporter.isRange" -}}
{{- $byte := "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])" -}}
{{- $hex := "[0-9a-fA-F]{1,4}" -}}
{{- $forms := list (printf "(%s:){7}%s" $hex $hex) (printf "(%s:){1,7}:" $hex) (printf ":(:%s){1,7}" $hex) "::" -}}
{{- range $before := untilStep 1 7 1 -}}
{{- $forms = append $forms (printf "(%s:){%d}(:%s){1,%d}" $hex $before $hex (sub 7 $before)) -}}
{{- end -}}
{{- $four := printf "^(%s[.]){3}%s/([1-9]|[12][0-9]|3[0-2])$" $byte $byte -}}
{{- $six := printf "^(%s)/([1-9]|[1-9][0-9]|1[01][0-9]|12[0-8])$" (join "|" $forms) -}}
{{- regexFind (printf "%s|%s" $four $six) . -}}
{{- end }}

{{/* That no two items have the same of a field, nor one that is taken: (list "place" items "field" taken). */}}
{{- define "exporter.checkOnce" -}}
{{- $place := index . 0 -}}
{{- $field := index . 2 -}}
{{- $taken := index . 3 -}}
{{- range $index, $item := index . 1 -}}
{{- $name := get $item $field | toString -}}
{{- if has $name $taken -}}
{{- fail (printf "%s[%d].%s: %q is taken already" $place $index $field $name) -}}
{{- end -}}
{{- $taken = append $taken $name -}}
{{- end -}}
{{- end }}

{{/* An entry of accounts: (list $ "place" account). */}}
{{- define "exporter.checkAccount" -}}
{{- $ := index . 0 -}}
{{- $place := index . 1 -}}
{{- $account := index . 2 -}}
{{- range regexFindAll "[A-Za-z0-9]{40,}" $account.name -1 -}}
{{- if and (regexMatch "[0-9]" .) (regexMatch "[A-Za-z]" .) -}}
{{- fail (printf "%s.name: looks like a key: name the account, as it shall be called in labels" $place) -}}
{{- end -}}
{{- end -}}
{{- if not (regexMatch `^[^\p{Z}\p{Cc}]([^\p{Zl}\p{Zp}\p{Cc}]*[^\p{Z}\p{Cc}])?$` $account.name) -}}
{{- fail (printf "%s.name: must not begin or end with a space, nor hold control characters" $place) -}}
{{- end -}}
{{- if not (regexMatch "^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$" $account.secretName) -}}
{{- fail (printf "%s.secretName: must be the name of a Secret that exists, never a key itself" $place) -}}
{{- end -}}
{{- range $field := list "api_key_file" "secret_key_file" "private_key_file" "private_key_passphrase_file" -}}
{{- with get $account $field -}}
{{- if or (not (regexMatch "^[-._a-zA-Z0-9]{1,63}$" .)) (regexMatch "^[.]([.]|$)" .) -}}
{{- fail (printf "%s.%s: must be what the Secret calls the key (letters, digits, hyphens, dots), never the key itself" $place $field) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if eq (hasKey $account "secret_key_file") (hasKey $account "private_key_file") -}}
{{- fail (printf "%s: name either secret_key_file (HMAC) or private_key_file (Ed25519, RSA)" $place) -}}
{{- end -}}
{{- $poll := $account.poll | default dict -}}
{{- include "exporter.checkPoll" (list (printf "%s.poll" $place) $poll) -}}
{{- include "exporter.checkBinance" (list (printf "%s.binance" $place) ($account.binance | default dict)) -}}
{{- $interval := coalesce $poll.interval $.Values.config.poll.interval "15s" -}}
{{- with coalesce $poll.stale_after $.Values.config.poll.stale_after -}}
{{- if lt (include "exporter.seconds" . | float64) (include "exporter.seconds" $interval | mulf 2) -}}
{{- fail (printf "%s (%s): stale_after %s is less than 2 intervals of %s" $place $account.name . $interval) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* The seconds of a duration such as 1m30s. */}}
{{- define "exporter.seconds" -}}
{{- $units := dict "y" 31536000 "w" 604800 "d" 86400 "h" 3600 "m" 60 "s" 1 "ms" 0.001 -}}
{{- $seconds := 0.0 -}}
{{- range regexFindAll "[0-9]+[a-z]+" . -1 -}}
{{- $seconds = addf $seconds (mulf (regexFind "[0-9]+" .) (get $units (regexFind "[a-z]+" .))) -}}
{{- end -}}
{{ $seconds }}
{{- end }}

{{/* That a duration is neither too short nor too long: (list "place" duration least most). */}}
{{- define "exporter.checkDuration" -}}
{{- if index . 1 -}}
{{- $seconds := include "exporter.seconds" (index . 1) | float64 -}}
{{- if or (lt $seconds (include "exporter.seconds" (index . 2) | float64)) (gt $seconds (include "exporter.seconds" (index . 3) | float64)) -}}
{{- fail (printf "%s: must be from %s to %s" (index . 0) (index . 2) (index . 3)) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* A `poll:` of exporter.yml: (list "place" poll). */}}
{{- define "exporter.checkPoll" -}}
{{- include "exporter.checkDuration" (list (printf "%s.interval" (index . 0)) (index . 1).interval "1s" "1h") -}}
{{- end }}

{{/* A `binance:` of exporter.yml: (list "place" binance). */}}
{{- define "exporter.checkBinance" -}}
{{- $place := index . 0 -}}
{{- $binance := index . 1 -}}
{{- include "exporter.checkDuration" (list (printf "%s.recv_window" $place) $binance.recv_window "1ms" "60s") -}}
{{- include "exporter.checkDuration" (list (printf "%s.request_timeout" $place) $binance.request_timeout "100ms" "60s") -}}
{{- $host := `(\[[0-9a-fA-F:.]+\]|[^\[\]/?#@:]+)` -}}
{{- with $binance.endpoint -}}
{{- if not (and (regexMatch "^[!-~]+$" .) (regexMatch (printf "^(mainnet|testnet|(?i:wss?)://%s(:[0-9]{0,5})?([/?][^#@]*)?)$" $host) .)) -}}
{{- fail (printf "%s.endpoint: must be mainnet, testnet or a ws:// or wss:// URL without user, password and fragment (#)" $place) -}}
{{- end -}}
{{- end -}}
{{- with $binance.proxy -}}
{{- if contains "@" . -}}
{{- fail (printf "%s.proxy: would show its user and password in a ConfigMap: set HTTPS_PROXY to it, in extraEnv, from a Secret" $place) -}}
{{- end -}}
{{- if not (and (regexMatch "^[!-~]+$" .) (regexMatch (printf "^(none|(?i:https?|socks5h?)://%s:0*[1-9][0-9]{0,4}/?)$" $host) .)) -}}
{{- fail (printf "%s.proxy: must be none or a http://, https://, socks5:// or socks5h:// URL that ends in its port, such as http://proxy:3128" $place) -}}
{{- end -}}
{{- end -}}
{{- end }}

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

{{/* Not empty for a text with a secret in it: a URL with a user or password, the like of an API key, a private key. */}}
{{- define "exporter.secretive" -}}
{{- regexFind `://\S*@|[A-Za-z0-9]{64}|PRIVATE KEY` . -}}
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
{{- if regexMatch "^BINANCE_(ACCOUNT|ENDPOINT|API_KEY|SECRET_KEY|PRIVATE_KEY)" $variable.name -}}
{{- fail (printf "%s: is for an exporter without a configuration file: set accounts, and config.binance.endpoint, instead" $place) -}}
{{- end -}}
{{- with get $variables $variable.name -}}
{{- fail (printf "%s: %s" $place .) -}}
{{- end -}}
{{- if include "exporter.secretive" ($variable.value | default "") -}}
{{- fail (printf "%s: holds what looks like a password or a key: take it from a Secret, by valueFrom.secretKeyRef" $place) -}}
{{- end -}}
{{- end -}}
{{- include "exporter.checkOnce" (list "extraEnv" .Values.extraEnv "name" (list "POD_NAME")) -}}
{{- include "exporter.checkOnce" (list "extraVolumes" .Values.extraVolumes "name" (list "tmp" "config" "keys" "web")) -}}
{{- include "exporter.checkOnce" (list "extraContainers" .Values.extraContainers "name" (list "exporter")) -}}
{{- $paths := list "/tmp" -}}
{{- range $folder := list "config" "keys" "web" -}}
{{- $paths = append $paths (printf "%s/%s" (include "exporter.directory" $) $folder) -}}
{{- end -}}
{{- include "exporter.checkOnce" (list "extraVolumeMounts" .Values.extraVolumeMounts "mountPath" $paths) -}}
{{- end }}
