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
{{- include "exporter.checkWeb" . -}}
{{- include "exporter.checkScrape" . -}}
{{- include "exporter.checkThresholds" .Values.prometheusRule.thresholds -}}
{{- include "exporter.checkPolicy" .Values.networkPolicy -}}
{{- range $index, $secret := .Values.imagePullSecrets -}}
{{- include "exporter.checkObjectName" (list (printf "imagePullSecrets[%d].name" $index) $secret.name) -}}
{{- end -}}
{{- include "exporter.checkExtras" . -}}
{{- end }}

{{/* That a text can be the name of a Secret or the like: (list "place" text). */}}
{{- define "exporter.checkObjectName" -}}
{{- if not (regexMatch "^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$" (index . 1)) -}}
{{- fail (printf "%s: must be the name of what exists already (lower case letters, digits, hyphens, dots), never a key or password itself" (index . 0)) -}}
{{- end -}}
{{- end }}

{{/* That a text can be what a Secret calls a key: (list "place" text). 64 letters and digits are an API key. */}}
{{- define "exporter.checkKeyName" -}}
{{- $name := index . 1 -}}
{{- if or (not (regexMatch "^[-._a-zA-Z0-9]{1,253}$" $name)) (regexMatch "^[.]([.]|$)|^[a-zA-Z0-9]{64}$" $name) -}}
{{- fail (printf "%s: must be what the Secret calls the key (letters, digits, hyphens, underscores, dots), never the key itself" (index . 0)) -}}
{{- end -}}
{{- end }}

{{/* A key of a Secret or a ConfigMap: (list "place" {name, key}). */}}
{{- define "exporter.checkReference" -}}
{{- with index . 1 -}}
{{- include "exporter.checkObjectName" (list (printf "%s.name" (index $ 0)) .name) -}}
{{- include "exporter.checkKeyName" (list (printf "%s.key" (index $ 0)) .key) -}}
{{- end -}}
{{- end }}

{{- define "exporter.checkWeb" -}}
{{- with .Values.web -}}
{{- if and .tls.enabled (not (or .existingSecret .tls.secretName)) -}}
{{- fail "web.tls.enabled: name the Secret, in web.tls.secretName or (with a web.yml of your own) in web.existingSecret" -}}
{{- end -}}
{{- if and (or .tls.secretName .tls.clientCertificates) (not .tls.enabled) -}}
{{- fail "web.tls: a Secret and client certificates are for TLS: set web.tls.enabled, which probes and monitors go by, or neither" -}}
{{- end -}}
{{- with .existingSecret -}}
{{- include "exporter.checkObjectName" (list "web.existingSecret" .) -}}
{{- end -}}
{{- with .tls.secretName -}}
{{- include "exporter.checkObjectName" (list "web.tls.secretName" .) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "exporter.checkScrape" -}}
{{- $web := .Values.web -}}
{{- with .Values.scrape -}}
{{- if and .interval .timeout -}}
{{- if gt (include "exporter.seconds" .timeout | float64) (include "exporter.seconds" .interval | float64) -}}
{{- fail (printf "scrape.timeout: %s is more than the interval of %s, which Prometheus refuses" .timeout .interval) -}}
{{- end -}}
{{- end -}}
{{- if and .tlsConfig (not $web.tls.enabled) -}}
{{- fail "scrape.tlsConfig: the exporter is scraped without TLS: set web.tls.enabled, or leave scrape.tlsConfig empty" -}}
{{- end -}}
{{- if and .basicAuth (not $web.existingSecret) -}}
{{- fail "scrape.basicAuth: the exporter asks for no password: name the Secret of a web.yml that does in web.existingSecret, or leave scrape.basicAuth empty" -}}
{{- end -}}
{{- range $field, $reference := .basicAuth -}}
{{- include "exporter.checkReference" (list (printf "scrape.basicAuth.%s" $field) $reference) -}}
{{- end -}}
{{- $tls := .tlsConfig | default dict -}}
{{- include "exporter.checkReference" (list "scrape.tlsConfig.keySecret" $tls.keySecret) -}}
{{- range $field := list "ca" "cert" -}}
{{- range $kind, $reference := get $tls $field | default dict -}}
{{- include "exporter.checkReference" (list (printf "scrape.tlsConfig.%s.%s" $field $kind) $reference) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* That what is critical is not reached before what warns of it. */}}
{{- define "exporter.checkThresholds" -}}
{{- range $higher, $lower := dict "margin_ratio_critical" "margin_ratio_warning" "liquidation_distance_warning" "liquidation_distance_critical" -}}
{{- $high := get $ $higher -}}
{{- $low := get $ $lower -}}
{{- if and (hasKey $ $higher) (hasKey $ $lower) (gt (float64 $low) (float64 $high)) -}}
{{- fail (printf "prometheusRule.thresholds: %s is %v and %s %v: what is critical would come before what warns of it" $lower $low $higher $high) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* Ranges and peers of the policy. */}}
{{- define "exporter.checkPolicy" -}}
{{- range $index, $range := .clusterRanges -}}
{{- if or (hasSuffix "/0" $range) (not (include "exporter.isRange" $range)) -}}
{{- fail (printf "networkPolicy.clusterRanges[%d]: must be IPv4 or IPv6 addresses such as 10.0.0.0/8 or fd00::/8, but not all (/0), and not %q" $index $range) -}}
{{- end -}}
{{- end -}}
{{- range $field := list "ingressFrom" "dnsTo" -}}
{{- range $index, $peer := get $ $field | default list -}}
{{- include "exporter.checkPeer" (list (printf "networkPolicy.%s[%d]" $field $index) $peer) -}}
{{- end -}}
{{- end -}}
{{- range $index, $rule := .extraEgress -}}
{{- range $position, $peer := $rule.to -}}
{{- include "exporter.checkPeer" (list (printf "networkPolicy.extraEgress[%d].to[%d]" $index $position) $peer) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* A policy's peer: (list "place" peer). */}}
{{- define "exporter.checkPeer" -}}
{{- $place := index . 0 -}}
{{- $peer := index . 1 -}}
{{- with $peer.ipBlock -}}
{{- if gt (len $peer) 1 -}}
{{- fail (printf "%s: an ipBlock goes without a selector: make two peers of it" $place) -}}
{{- end -}}
{{- range $range := prepend (.except | default list) .cidr -}}
{{- if not (include "exporter.isRange" $range) -}}
{{- fail (printf "%s.ipBlock: must be IPv4 or IPv6 addresses such as 10.0.0.0/8 or fd00::/8, and not %q" $place $range) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* Not empty for a range of addresses of either family. */}}
{{- define "exporter.isRange" -}}
{{- $byte := "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])" -}}
{{- $hex := "[0-9a-fA-F]{1,4}" -}}
{{- $forms := list (printf "(%s:){7}%s" $hex $hex) (printf "(%s:){1,7}:" $hex) (printf ":(:%s){1,7}" $hex) "::" -}}
{{- range $before := untilStep 1 7 1 -}}
{{- $forms = append $forms (printf "(%s:){%d}(:%s){1,%d}" $hex $before $hex (sub 7 $before)) -}}
{{- end -}}
{{- $four := printf "^(%s[.]){3}%s/([0-9]|[12][0-9]|3[0-2])$" $byte $byte -}}
{{- $six := printf "^(%s)/([0-9]|[1-9][0-9]|1[01][0-9]|12[0-8])$" (join "|" $forms) -}}
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
{{- if include "exporter.likeKey" $account.name -}}
{{- fail (printf "%s.name: looks like a key: name the account, as it shall be called in labels" $place) -}}
{{- end -}}
{{- if not (regexMatch `^[^\p{Z}\p{Cc}]([^\p{Zl}\p{Zp}\p{Cc}]*[^\p{Z}\p{Cc}])?$` $account.name) -}}
{{- fail (printf "%s.name: must not begin or end with a space, nor hold control characters" $place) -}}
{{- end -}}
{{- include "exporter.checkObjectName" (list (printf "%s.secretName" $place) $account.secretName) -}}
{{- range $field := list "api_key_file" "secret_key_file" "private_key_file" "private_key_passphrase_file" -}}
{{- with get $account $field -}}
{{- include "exporter.checkKeyName" (list (printf "%s.%s" $place $field) .) -}}
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

{{/* Not empty for a text with what the exporter takes for a key, which it lets no account be named. */}}
{{- define "exporter.likeKey" -}}
{{- range regexFindAll "[A-Za-z0-9+/_-]{16,}={0,2}" . -1 -}}
{{- $long := ge (len .) 40 -}}
{{- range regexSplit "[/_-]" . -1 -}}
{{- and $long (ge (len .) 16) (regexMatch "[0-9]" .) (regexMatch "[A-Za-z]" .) | ternary "yes" "" -}}
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
{{- $host := `(\[[0-9a-fA-F]*:[0-9a-fA-F:.]+(%[^\]/?#@]+)?\]|[^\[\]/?#@:]+)` -}}
{{- $port := "0*([0-9]{1,4}|[1-5][0-9]{4}|6([0-4][0-9]{3}|5([0-4][0-9]{2}|5([0-2][0-9]|3[0-5]))))" -}}
{{- with $binance.endpoint -}}
{{- if not (and (regexMatch "^[!-~]+$" .) (regexMatch (printf "^(mainnet|testnet|demo|(?i:wss?)://%s(:(%s)?)?([/?][^#]*)?)$" $host $port) .)) -}}
{{- fail (printf "%s.endpoint: must be mainnet, testnet or a ws:// or wss:// URL without user, password and fragment (#)" $place) -}}
{{- end -}}
{{- end -}}
{{- with $binance.proxy -}}
{{- if contains "@" . -}}
{{- fail (printf "%s.proxy: would show its user and password in a ConfigMap: set HTTPS_PROXY to it, in extraEnv, from a Secret" $place) -}}
{{- end -}}
{{- if or (not (and (regexMatch "^[!-~]+$" .) (regexMatch (printf "^(none|(?i:https?|socks5h?)://%s:%s/?)$" $host $port) .))) (regexMatch ":0+/?$" .) -}}
{{- fail (printf "%s.proxy: must be none or a http://, https://, socks5:// or socks5h:// URL that ends in its port, such as http://proxy:3128" $place) -}}
{{- end -}}
{{- end -}}
{{- end }}
