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
