{{/*
What the chart refuses: secrets in values, and what would break its own parts. What the exporter or Kubernetes says as clearly
is left to them. No message quotes a value that may be a secret, and neither does the schema: Helm 4 would show it.
*/}}

{{- define "exporter.checks" -}}
{{- range $name, $value := omit .Values "global" -}}
{{- include "exporter.checkSecrets" (list $name $value) -}}
{{- end -}}
{{- include "exporter.checkSecrets" (list "global.imagePullSecrets" .Values.global.imagePullSecrets) -}}
{{- if and .Values.existingConfigMap .Values.accounts -}}
{{- fail "existingConfigMap: its exporter.yml lists the accounts, leave accounts empty" -}}
{{- end -}}
{{- if not (or .Values.accounts .Values.existingConfigMap .Values.demo) -}}
{{- fail "nothing to poll: set accounts (and create the Secrets with their keys first), or demo: true to try it out" -}}
{{- end -}}
{{- if and .Values.web.tls.enabled (not (or .Values.web.existingSecret .Values.web.tls.secretName)) -}}
{{- fail "web.tls.enabled: set web.tls.secretName, or web.existingSecret if it contains a web.yml" -}}
{{- end -}}
{{- if and (or .Values.web.tls.secretName .Values.web.tls.clientCertificates) (not .Values.web.tls.enabled) -}}
{{- fail "web.tls: secretName and clientCertificates need web.tls.enabled, which probes and monitors use" -}}
{{- end -}}
{{- if and .Values.serviceMonitor.enabled .Values.podMonitor.enabled -}}
{{- fail "serviceMonitor and podMonitor: enable only one, or every pod is scraped twice" -}}
{{- end -}}
{{- with pick (.Values.podMonitor.tlsConfig | default dict) "caFile" "certFile" "keyFile" -}}
{{- fail (printf "podMonitor.tlsConfig.%s: a PodMonitor cannot refer to files; use ca, cert and keySecret, or a ServiceMonitor" (keys . | sortAlpha | first)) -}}
{{- end -}}
{{- include "exporter.checkLabels" . -}}
{{- include "exporter.checkFlags" . -}}
{{- end }}

{{/* Refuse what the chart sets, as Helm and selectors depend on it, and a name of the job that the rules would miss. */}}
{{- define "exporter.checkLabels" -}}
{{- range $place, $texts := dict "commonLabels" .Values.commonLabels "podLabels" .Values.podLabels "podAnnotations" .Values.podAnnotations
  "service.labels" .Values.service.labels "serviceMonitor.labels" .Values.serviceMonitor.labels "podMonitor.labels" .Values.podMonitor.labels
  "prometheusRule.additionalLabels" .Values.prometheusRule.additionalLabels "dashboards.labels" .Values.dashboards.labels -}}
{{- range $name, $_ := $texts -}}
{{- if regexMatch (eq $place "podAnnotations" | ternary "^checksum/config$" "^(helm.sh/chart|app.kubernetes.io/(name|instance|component|managed-by))$") $name -}}
{{- fail (printf "%s: %s is set by the chart and cannot be changed" $place $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $service := include "exporter.labels" (dict "root" $ "component" "exporter" "labels" .Values.service.labels) -}}
{{- range $kind, $labels := dict "serviceMonitor" $service "podMonitor" (include "exporter.podLabels" .) -}}
{{- $monitor := get $.Values $kind -}}
{{- $job := get (fromYaml $labels) ($monitor.jobLabel | default "") -}}
{{- if and $monitor.enabled $monitor.jobLabel $.Values.prometheusRule.enabled (ne $job $.Values.job) -}}
{{- fail (printf "%s.jobLabel: the label is %q, but the rules would alert because no job is named %q; set job to the label" $kind $job $.Values.job) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* Not empty if an object, or one of a list's, is a Secret with data. */}}
{{- define "exporter.secretData" -}}
{{- if and (eq "v1 Secret" (printf "%v %v" .apiVersion .kind)) (or .data .stringData) }}yes{{ end -}}
{{- range kindIs "slice" .items | ternary .items list -}}
{{- if kindIs "map" . -}}
{{- include "exporter.secretData" (include "exporter.join" (list (dict "apiVersion" $.apiVersion "kind" (trimSuffix "List" $.kind)) .) | fromYaml) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* Refuse secrets, and what cannot be the name of a Secret or of its key, in a value and all values in it: (list "place" value). */}}
{{- define "exporter.checkSecrets" -}}
{{- $place := index . 0 -}}
{{- $value := index . 1 -}}
{{- if kindIs "map" $value -}}
{{- range $key, $item := $value -}}
{{- include "exporter.checkSecrets" (list (printf "%s (key)" $place) $key) -}}
{{- include "exporter.checkSecrets" (list (printf "%s.%s" $place $key) $item) -}}
{{- end -}}
{{- else if kindIs "slice" $value -}}
{{- range $index, $item := $value -}}
{{- include "exporter.checkSecrets" (list (printf "%s[%d]" $place $index) $item) -}}
{{- end -}}
{{- else if and (kindIs "string" $value) $value -}}
{{- $holder := "(imagePullSecrets.*|[sS]ecret|configMap|Ref|basicAuth[.](username|password))" -}}
{{- if hasPrefix "extraManifests" $place -}}
{{- else if regexMatch (printf "%s[.]name$|(secretName|existingSecret|existingConfigMap|imagePullSecrets[^.]*)$" $holder) $place -}}
{{- if not (regexMatch "^[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?$" $value) -}}
{{- fail (printf "%s: must be the name of an existing object (lower case letters, digits, hyphens, dots), never a key or password" $place) -}}
{{- end -}}
{{- else if regexMatch (printf "%s[.]key$|^accounts.*_file$" $holder) $place -}}
{{- if or (not (regexMatch "^[-._a-zA-Z0-9]{1,253}$|^/[-._/@ a-zA-Z0-9]+$" $value)) (regexMatch "^[.]([.]|$)|^[a-zA-Z0-9]{64}$" $value) -}}
{{- fail (printf "%s: must be the name of a key in the Secret (letters, digits, hyphens, underscores, dots), or for an account an absolute path, never the key itself" $place) -}}
{{- end -}}
{{- else if and (regexMatch "^accounts.*[.]name$" $place) (include "exporter.likeKey" $value) -}}
{{- fail (printf "%s: looks like an API key; use a display name" $place) -}}
{{- end -}}
{{- if include "exporter.likeSecret" $value -}}
{{- fail (printf "%s: looks like a key or contains a password; take it from a Secret, such as by extraEnv with valueFrom.secretKeyRef" $place) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* Not empty for a text with a Binance key (64 letters and digits), a PEM key, a bcrypt hash, or a password in an address. */}}
{{- define "exporter.likeSecret" -}}
{{- range regexFindAll "[A-Za-z0-9]{64,}" . -1 -}}
{{- and (len . | eq 64) (regexMatch "[a-z]" .) (regexMatch "[A-Z]" .) (regexMatch "[0-9]" .) | ternary "yes" "" -}}
{{- end -}}
{{- regexFind `PRIVATE KEY|\$2[abxy]?\$[0-9]{2}\$` . -}}
{{- regexFind `://[^\s/?#]*(:([^\s/?#]*|[0-9]*[^\s/?#0-9][^\s@]*)@|\w{20}@|@[^\s/?#]+/?["',}\]]*(\s|$))` . -}}
{{- replace "mailto:" "" . | regexFind `(^|[\s"'])[^\s:@/,"'{]+:[^\s/]\S*@(\[\S+\]|[-.\w]+)(:[0-9]{1,5})?/?["',}\]]*(\s|$)` -}}
{{- end }}

{{/* Not empty for a text with what the exporter takes for an API key: the ConfigMap and error messages would show it. */}}
{{- define "exporter.likeKey" -}}
{{- range regexFindAll "[A-Za-z0-9+/_-]{16,}={0,2}" . -1 -}}
{{- $long := ge (len .) 40 -}}
{{- range regexSplit "[/_-]" . -1 -}}
{{- and $long (ge (len .) 16) (regexMatch "[0-9]" .) (regexMatch "[A-Za-z]" .) | ternary "yes" "" -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* Refuse flags and variables that change what the chart's other parts depend on. */}}
{{- define "exporter.checkFlags" -}}
{{- $flags := list "config.check" "config.file" "help" "log.format" "log.level" "shard" "total-shards" "version" "web.config.file" "web.listen-address" "web.telemetry-path" -}}
{{- range $index, $argument := .Values.extraArgs -}}
{{- $flag := regexFind "^--[^=]*" $argument -}}
{{- if has (trimPrefix "--" $flag) $flags -}}
{{- fail (printf "extraArgs[%d]: %s cannot be changed; use accounts, config, shards, log and web" $index $flag) -}}
{{- end -}}
{{- end -}}
{{- $variables := list "POD_NAME" -}}
{{- range $flags -}}
{{- $variables = append $variables (printf "BINANCE_FUTURES_EXPORTER_%s" (upper . | replace "." "_" | replace "-" "_")) -}}
{{- end -}}
{{- range $index, $variable := .Values.extraEnv -}}
{{- if or (has $variable.name $variables) (regexMatch "^BINANCE_(ACCOUNT|ENDPOINT|(API|SECRET|PRIVATE)_KEY(_PASSPHRASE)?(_FILE)?)$" $variable.name) -}}
{{- fail (printf "extraEnv[%d]: %s cannot be set; use accounts, config, shards, log and web" $index $variable.name) -}}
{{- end -}}
{{- end -}}
{{- end }}
